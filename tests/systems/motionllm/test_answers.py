"""A small MotionLLM through the Python API: every task, adapters by what is made, and the published code's answers."""

from dataclasses import asdict, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import motiongpt3_jax
from motiongpt3_jax.inference.engine import Engine
from motiongpt3_jax.inference.folder import read_folder
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.systems.interface import Question
from tests.commands.conftest import call
from tests.systems.motiongpt.small import variables_of
from tests.systems.motiongpt.test_answers import still
from tests.systems.same_joints import check_same_joints

SENTENCES = ["a person walks", "a man sits down", "someone jumps"]

pytestmark = pytest.mark.filterwarnings("ignore::motiongpt3_jax.Note")


def model_of(trained_motionllm, **layout):
    """The run's model with random weights, of which everything matters."""
    folder = read_folder(trained_motionllm)
    folder = replace(folder, config={**folder.config, "layout": {**folder.config["layout"], **layout}})
    engine = Engine.of(folder, variables_of(folder.kind.make_system(folder.spec)), ("m2t", 40))
    engine = replace(engine, variables=jax.tree.map(jnp.asarray, engine.answers.prepare(engine.variables)))
    return Model(engine, Prompts.of(folder, "m2t"))


@pytest.fixture(scope="module")
def model(trained_motionllm):
    return model_of(trained_motionllm)


def test_motions_have_exactly_the_frames_that_are_asked_for_whatever_their_batch_mates(model):
    frames = [14, 41, 43]
    motions = model.generate(SENTENCES, frames=frames, seed=3)
    assert [motion.frames for motion in motions] == frames
    alone = model.generate(SENTENCES[1], frames=41, seed=4)
    check_same_joints(alone.joints, motions[1].joints)


def test_codes_are_drawn_at_a_temperature_of_seven_tenths_unless_a_request_names_one(model):
    assert model.motion_options().temperature == 0.7
    assert model.motion_options(temperature=1.0).temperature == 1.0
    assert model.motion_options(beams=3) == model.motion_options(beams=3, temperature=0.0)


def test_captions_are_words_and_predictions_keep_what_is_given(model):
    clips = [np.random.default_rng(n).normal(size=(frames, 263)) for n, frames in enumerate((13, 47))]
    captions = model.caption_features(clips)
    assert captions[0] == model.caption_features(clips[:1])[0]
    assert not any("<" in caption for caption in captions)
    given = still(30)
    predicted = model.predict(given, frames=45).motion
    np.testing.assert_array_equal(predicted.joints[:, :30], given.joints)
    filled = model.inbetween(given, still(16), frames=9).motion
    assert filled.frames == 30 + 9 + 16


def test_a_hidden_middle_is_shown_as_two_motions(model):
    question = model.prompts.question("inbetween")
    clips = tuple(np.zeros((frames, 263), np.float32) for frames in (12, 8))
    answers = model.engine.answers
    example = answers.example(0, Question(question, clips), "motion", answers.motion_options(), 40)
    ids, tokens = example.streams["tokens"].ids.tolist(), answers.tokens
    assert [i for i in ids if i in (tokens.start_of_motion, tokens.end_of_motion)] == [
        *(tokens.start_of_motion, tokens.end_of_motion) * 2,
        tokens.start_of_motion,
    ]
    assert sum(map(tokens.is_code, ids)) == 3 + 2


def test_each_answer_uses_the_adapter_of_what_it_makes(model):
    answers, options = model.engine.answers, (model.motion_options(), model.text_options())
    assert answers.adapters == {"motion": "t2m", "text": "m2t"}
    question = Question("a person walks")
    for makes, option in zip(("motion", "text"), options):
        example = answers.example(0, question, makes, option)
        prefill = next(phase for phase in answers.phases(example, makes, option, 0) if phase.name == "prefill")
        assert prefill.run.args[0].config.language.adapters.used == answers.adapters[makes]


@pytest.mark.slow
def test_officially_answers_end_within_the_room_that_their_question_leaves(trained_motionllm):
    model = model_of(trained_motionllm, official=True, max_length=48)
    assert not model.engine.answers.capabilities.takes_length
    motions = model.generate(SENTENCES, seed=1)
    assert all(motion.frames % 4 == 0 and 0 < motion.frames <= 4 * 48 for motion in motions)
    alone = model.generate(SENTENCES[2], seed=1)
    check_same_joints(alone.joints, motions[2].joints)
    assert asdict(model.motion_options())["beams"] == 5
    clips = [np.random.default_rng(n).normal(size=(frames, 263)) for n, frames in enumerate((13, 47))]
    captions = model.caption_features(clips)
    assert captions[1] == model.caption_features(clips[1:])[0]


@pytest.mark.slow
def test_the_commands_answer_with_it(model, tmp_path):
    folder = ("--model", model.engine.folder.path)
    plain = ("--format", "none", "--out")
    request = ("--text", "a person walks", "--frames", "41", "--sampling", "beams=2", "temperature=0")
    assert call("generate", *folder, *request, *plain, tmp_path / "made")[0] == 0
    motion = tmp_path / "made" / "motion_000.npy"
    assert np.load(motion).shape[-3] == 41
    status, sentence, _ = call("caption", *folder, "--motion", motion)
    assert (status, sentence.endswith("\n")) == (0, True)
    assert call("predict", *folder, "--motion", motion, *plain, tmp_path / "predicted")[0] == 0
    assert call("export", *folder, "--format", "safetensors", "--out", tmp_path / "exported")[0] == 0
    again = motiongpt3_jax.Model.load(tmp_path / "exported")
    assert again.generate("a person walks", frames=20).frames == 20
