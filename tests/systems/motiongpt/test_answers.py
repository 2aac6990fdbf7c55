"""A small MotionGPT through the Python API: every task, with lengths that are asked for and lengths of its own."""

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
from motiongpt3_jax.inference.sequences import generate_sequence
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.systems.interface import Question
from tests.commands.conftest import call
from tests.systems.motiongpt.small import variables_of
from tests.systems.same_joints import check_same_joints

SENTENCES = ["a person walks", "a man sits down", "someone jumps", "a woman waves"]

pytestmark = pytest.mark.filterwarnings("ignore::motiongpt3_jax.Note")


@pytest.fixture(scope="module")
def model(trained_motiongpt):
    """The run's model with random weights, of which everything matters."""
    folder = read_folder(trained_motiongpt)
    engine = Engine.of(folder, variables_of(folder.kind.make_system(folder.spec)), ("t2m", 2))
    engine = replace(engine, variables=jax.tree.map(jnp.asarray, engine.answers.prepare(engine.variables)))
    return Model(engine, Prompts.of(folder, "t2m"))


def still(frames, fps=20.0):
    """A person who stands and moves an arm."""
    joints = np.tile(np.random.default_rng(0).normal(size=(1, 22, 3)), (frames, 1, 1)).astype(np.float32)
    joints[:, 20, 0] += np.linspace(0, 1, frames)
    return Motion(joints[None], fps)


def test_motions_have_exactly_the_frames_that_are_asked_for_whatever_their_batch_mates(model):
    frames = [14, 40, 41, 43]
    motions = model.generate(SENTENCES, frames=frames, seed=3)
    assert [motion.frames for motion in motions] == frames
    assert all(np.isfinite(motion.joints).all() for motion in motions)
    alone = model.generate(SENTENCES[2], frames=41, seed=5)
    check_same_joints(alone.joints, motions[2].joints)
    assert model.lengths(SENTENCES[0], seconds=2.0)[0].frames == 40


WHO, WHAT = ("a person", "someone who is tired", "a"), ("walks", "sits down and waves")
MANY = [f"{who} {what}" for who in WHO for what in WHAT]


@pytest.mark.slow
def test_questions_that_share_rows_are_answered_as_alone(model, shared_rows):
    sentences = (MANY * 3)[:14]
    motions = model.generate(sentences, frames=24, seed=3)
    questions, options = [Question(sentence) for sentence in sentences], model.text_options(max_new=4)
    texts = model.engine.generate_texts(questions, options)
    assert shared_rows == [True, True]
    for number in (0, 3, 13):
        alone = model.generate(sentences[number], frames=24, seed=3 + number)
        check_same_joints(alone.joints, motions[number].joints)
        assert model.engine.generate_texts([questions[number]], options) == [texts[number]]
    assert len({text.whole for text in texts}) > 1


def test_motions_that_follow_each_other_are_decoded_at_once_from_their_joined_codes(model):
    questions, options = [Question(sentence) for sentence in SENTENCES[:2]], model.motion_options()
    most = model.engine.frames[1]
    joints, stops = generate_sequence(model.engine, questions, [16, 2 * most], 3, options)
    assert stops == [16, 16 + 2 * most]
    assert joints.shape == (stops[-1], 22, 3)
    assert np.isfinite(joints).all()
    alone, _ = generate_sequence(model.engine, questions[:1], [16], 3, options)
    (usual,) = model.engine.generate_motions(questions[:1], [16], [3], options)
    check_same_joints(alone, usual)
    # The decoder of the first part sees what follows.
    assert np.abs(joints[:16] - alone).max() > 0.01 * np.abs(alone).max()


def test_without_a_length_the_model_ends_its_motions(model):
    motions = model.generate([*SENTENCES[:3], ""], seed=1)
    assert {length.source for length in model.lengths(SENTENCES)} == {"model"}
    assert all(motion.frames % 4 == 0 and 0 < motion.frames <= model.engine.frames[1] for motion in motions)
    assert len({motion.frames for motion in motions}) > 1


def test_captions_are_words_and_do_not_depend_on_batch_mates(model):
    clips = [np.random.default_rng(n).normal(size=(frames, 263)) for n, frames in enumerate((13, 30, 47))]
    captions = model.caption_features(clips)
    assert captions[0] == model.caption_features(clips[:1])[0]
    assert any(captions)
    assert not any("<" in caption for caption in captions)


def test_prediction_and_inbetweening_keep_what_is_given_to_the_bit(model):
    given = still(30)
    predicted = model.predict(given, frames=45).motion
    assert predicted.frames == 45
    np.testing.assert_array_equal(predicted.joints[:, :30], given.joints)
    filled = model.inbetween(given, still(16), frames=9).motion
    assert filled.frames == 30 + 9 + 16
    np.testing.assert_array_equal(filled.joints[:, :30], given.joints)
    np.testing.assert_array_equal(filled.joints[:, 39:], still(16).joints)


def test_the_official_protocol_encodes_the_whole_motion_and_cuts_its_codes(model):
    answers, features = model.engine.answers, np.zeros((43, 263), np.float32)
    for task, style in (("predict", "Predict"), ("inbetween", "Complete")):
        text = model.prompts.question(task, "official_eval")
        assert text.startswith(style)
        question, frames, options = answers.official_question(
            text, model.prompts.tasks[task], features, answers.motion_options()
        )
        example = answers.example(0, question, "motion", options, frames)
        assert [(piece.start, piece.stop) for piece in example.clips] == [(0, 40)]
        codes = example.streams["source"].sources
        codes = codes[codes[:, 0] == 0, 1].tolist()
        # A fifth of ten codes; two codes before what is hidden, and three behind it.
        assert codes == ([0, 1] if task == "predict" else [0, 1, 7, 8, 9])
        (motion,) = model.official(task, [still(44)])
        assert np.isfinite(motion.joints).all()


@pytest.mark.slow
def test_a_chat_answers_in_words_and_motions(model):
    chat = motiongpt3_jax.Chat(model)
    # One word, the end and the start of a motion, each with a fair chance.
    word = model.engine.folder.tokenizer.encode("person")[-1]
    decoding = {"temperature": 50.0, "max_new": 8, "allowed": (word,)}
    replies = [chat.say("do something", seed=seed, decoding=decoding) for seed in range(6)]
    assert any(reply.motions for reply in replies)
    assert any(reply.text for reply in replies)
    assert max(len(reply.motions) for reply in replies) > 1
    for reply in replies:
        assert len(reply.motions) == len(reply.lengths) <= 3
        assert "<" not in reply.text
        assert {length.source for length in reply.lengths} <= {"model"}


def test_single_codes_are_shown_those_in_most_use_first(model):
    codebook = model.engine.variables.state["codebook"]
    motions = model.engine.code_motions()
    assert next(iter(motions)) == f"code {int(np.argmax(codebook['counts']))}"
    assert {joints.shape for joints in motions.values()} == {(24, 22, 3)}
    assert all(np.isfinite(joints).all() for joints in motions.values())
    pages = [*(model.engine.folder.path / "samples").glob("tokenizer_*.html")]
    assert pages
    assert all("Codes in most use" in page.read_text(encoding="utf-8") for page in pages)


def test_the_options_of_an_answer_are_taken_as_they_were_given_out(model):
    for options in (model.motion_options(), model.motion_options(beams=2), model.motion_options(temperature=0.5)):
        assert model.motion_options(**asdict(options)) == options


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
    for protocol in ("exact", "official"):
        how = ("--motion", motion, "--protocol", protocol, *plain, tmp_path / protocol)
        assert call("predict", *folder, *how)[0] == 0
