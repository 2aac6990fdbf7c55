"""Every task of one loaded model."""

import gc
import weakref
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.inference.chat import Chat
from motiongpt3_jax.inference.engine import Engine, Question
from motiongpt3_jax.inference.lengths import predict_lengths
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.inference.windows import cut_into_windows
from motiongpt3_jax.motion import Motion, save_motion
from motiongpt3_jax.text import load_templates
from tests.motion.samples import dance

FAST = {"steps": 2}


@pytest.fixture(scope="module")
def model(trained):
    return Model.load(trained)


def walker(frames, fps=20.0, people=1, size=1.0):
    return Motion(size * dance(frames=frames, people=(people,)), fps)


def test_a_new_sentence_or_length_within_a_bucket_compiles_nothing(model):
    model.generate(["a person walks forward"], frames=[40], **FAST)
    model.caption(walker(40))
    before = model.engine.programs
    model.generate(["a person jumps forward"], frames=[46], seed=9, **FAST)
    model.generate(["a man walks backward"], frames=[33], **FAST)
    model.caption(walker(45))
    assert model.engine.programs == before


@pytest.mark.slow
def test_warm_up_compiles_what_is_asked_for_then(trained):
    loaded = Model.load(trained)
    model = replace(loaded, engine=replace(loaded.engine, compiled={}))
    assert model.warm_up([2], [1.5], **FAST) > 0
    before = model.engine.programs
    model.caption(model.generate(["a person walks", "a man jumps"], 1.5, seed=4, **FAST))
    assert model.engine.programs == before


@pytest.mark.slow
def test_programs_that_are_shared_keep_no_model_alive(trained):
    folder = Engine.load(trained)
    own = Engine.of(folder.folder, jax.tree.map(jnp.copy, folder.variables), folder.trained)
    Model(own, Prompts()).caption(Model(own, Prompts()).generate("a person walks", 1.5, **FAST), max_new=2)
    programs, kept = own.compiled, weakref.ref(own.variables.params["null_condition"])
    del own
    gc.collect()
    assert programs
    assert kept() is None


def test_files_stand_for_motions_everywhere(model, tmp_path):
    save_motion(tmp_path / "a.npz", walker(30))
    path = tmp_path / "a.npz"
    assert model.predict(path, 2.0, **FAST).motion.frames == 40
    assert model.inbetween(path, str(path), 1.0, **FAST).motion.frames == 80
    assert model.official("inbetween", [path], **FAST)[0].frames == 29
    assert model.captions_in_time([path], max_new=4) == model.captions_in_time([walker(30)], max_new=4)
    given = (path, str(path), [path], walker(30), [walker(30)])
    assert len({Chat(model).say("What is this?", motions, decoding={"max_new": 4}).text for motions in given}) == 1


def test_one_sentence_and_a_stream_of_them_have_lengths(model):
    assert model.lengths("a person walks") == model.lengths(["a person walks"])
    made = model.generate((text for text in ["a person walks"]), 1.5, **FAST)
    assert [motion.frames for motion in made] == [30]
    assert model.caption((motion for motion in made), max_new=4) == model.caption(made, max_new=4)


def test_what_a_model_shows_of_itself_is_short(model):
    assert len(repr(model)) < 1000


def test_numbers_of_numpy_and_lists_are_taken_as_options(model):
    asked = model.generate(["a person walks"] * 2, frames=np.int64(30), steps=np.int64(2), guidance_scale=1.0)
    assert [motion.frames for motion in asked] == [30, 30]
    assert model.text_options(banned=[1, 2]) == model.text_options(banned=(1, 2))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.motion_options(steps=2.5), "the option steps is 2.5: give a whole number"),
        (lambda m: m.text_options(beams=2.0), "the option beams is 2.0: give a whole number"),
        (lambda m: m.text_options(temperature=1e-40), "temperature of a text is 1e-40"),
        (lambda m: m.text_options(banned=range(m.engine.folder.tokenizer.size)), "names every id there is"),
        (lambda m: m.caption(walker(40), max_new=9999), "9999 new tokens were asked for; this model reads and writes"),
        (lambda m: m.lengths(["a person walks"], seed=-1), "seed -1: give whole numbers"),
        (lambda m: m.generate(["a", None]), "a sentence is None; give text"),
        (lambda m: m.generate("a", frames=40.5), "frames are 40.5; give a whole number"),
        (lambda m: m.caption(np.zeros((9, 22, 3))), "a motion is of type ndarray; give a file, or Motion"),
        (
            lambda m: m.inbetween(walker(40), walker(1300), 1.0),
            "what is given lasts 67.0 s, and results last 60",
        ),
        (lambda m: m.text_options(banned=(1.5,)), "banned of a text is"),
        (lambda m: m.text_options(max_new="4"), "the option max_new is .4.: give a whole number"),
        (lambda m: m.generate("a", seed=1.0), "seed 1.0: give whole numbers"),
        (lambda m: m.predict(walker(40), float("nan")), "nan is no length"),
        (lambda m: m.predict(walker(40), frames=60.5), "60.5 is no length"),
        (lambda m: m.official("draw", [walker(40)]), "there is no official task 'draw'"),
        (lambda m: m.motion_options(eta=0.5), "eta of a motion is 0.5: only ddim has it"),
        (lambda m: m.text_options(top_p=0.5), "top_p of a text is 0.5: tokens are drawn at a temperature above 0"),
        (lambda m: m.official("predict", [walker(5)], **FAST), "5 frames is too short to be given in part"),
    ],
)
def test_options_that_mean_nothing_are_refused_in_a_sentence(model, call, said):
    with pytest.raises(ValueError, match=said):
        call(model)


def test_requests_of_different_tasks_and_lengths_do_not_disturb_each_other(model):
    clip = np.random.default_rng(0).normal(size=(20, 263)).astype(np.float32)
    questions = [
        Question("a person walks"),
        Question(model.prompts.question("predict"), (clip,)),
        Question(model.prompts.question("inbetween"), (clip[:9], clip[9:])),
        Question(""),
    ]
    options = model.motion_options(steps=2)
    together = model.engine.generate_motions(questions, [20, 47, 30, 64], [1, 2, 3, 4], options)
    for number, (question, frames) in enumerate(zip(questions, [20, 47, 30, 64])):
        alone = model.engine.generate_motions([question], [frames], [number + 1], options)[0]
        assert alone.shape == (frames, 22, 3)
        np.testing.assert_allclose(together[number], alone, atol=1e-4)


@pytest.mark.slow
def test_questions_that_share_rows_are_answered_as_alone(model, shared_rows):
    questions = [Question(f"a person walks {'and waves ' * (number % 3)}") for number in range(14)]
    options, writing = model.motion_options(steps=2), model.text_options(max_new=4)
    motions = model.engine.generate_motions(questions, [30] * 14, range(14), options)
    texts = model.engine.generate_texts(questions, writing)
    assert shared_rows == [True, True]
    for number in (0, 5, 13):
        alone = model.engine.generate_motions([questions[number]], [30], [number], options)[0]
        np.testing.assert_allclose(motions[number], alone, atol=1e-4)
        assert model.engine.generate_texts([questions[number]], writing) == [texts[number]]


def test_a_motion_longer_than_the_model_makes_is_put_together_from_windows(model):
    motion = model.generate("a person walks", 12.0, **FAST)
    assert motion.frames == 240
    steps = np.linalg.norm(np.diff(motion.joints[0], axis=0), axis=-1)
    assert np.isfinite(steps).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.generate("a person walks", 60.5), r"0\.5 to 60 s"),
        (lambda m: m.generate("a person walks", float("nan")), r"nan s were asked for"),
        (lambda m: m.generate("a person walks", 2.0, frames=40), "not in both"),
        (lambda m: m.generate(["a", "b"], frames=[40]), "1 lengths were given for 2 sentences"),
        (lambda m: m.generate("a person walks", 2.0, seed=-1), "seed -1: give whole numbers from 0"),
        (lambda m: m.generate("a person walks", 2.0, stops=3), "there is no option 'stops'; there are: sampler"),
        (lambda m: m.caption_features([np.zeros((250, 263))]), "a clip has 250 frames; this model reads up to 206"),
    ],
)
def test_what_cannot_be_asked_is_said(model, call, said):
    with pytest.raises(ValueError, match=said):
        call(model)


def test_the_first_window_is_the_short_motion_of_the_same_seed(model):
    first = cut_into_windows(240, model.engine.window_length, model.fps).frames
    short = model.generate("a person walks", frames=first, seed=5, **FAST)
    long = model.generate("a person walks", frames=[240], seed=5, **FAST)
    np.testing.assert_allclose(long.joints[0, :20, 0], short.joints[0, :20, 0], atol=1e-5)


def test_a_motion_of_no_sentence_depends_on_its_seed_alone(model):
    first, second = model.generate(["", ""], frames=[30, 30], seed=1, **FAST)
    assert np.abs(first.joints - second.joints).max() > 1e-3
    again = model.generate("", frames=[30], seed=2, guidance_scale=7.0, **FAST)
    np.testing.assert_allclose(again.joints, second.joints, atol=1e-4)


def test_a_long_motion_is_captioned_part_by_part(model):
    parts = model.captions_in_time([walker(450), walker(30)])
    assert [len(own) for own in parts] == [10, 1]
    assert [own[-1][1] for own in parts] == pytest.approx([449 / 20, 29 / 20])
    assert parts[0][0][1] == parts[0][1][0]


def test_a_drawn_caption_depends_on_its_seed(model):
    motion = walker(40)
    drawn = [model.caption(motion, seed=seed, temperature=5.0) for seed in (1, 2, 1)]
    assert drawn[0] == drawn[2] != drawn[1]


def test_what_was_never_said_is_drawn_from_the_lengths_of_training(model):
    body = replace(model.engine.folder.statistics, lengths=np.array([30.0, 40.0, 90.0]))
    engine = replace(model.engine, folder=replace(model.engine.folder, statistics=body))
    found = predict_lengths(engine, Prompts(), ["a person walks"] * 50, range(50))
    assert {length.source for length in found} == {"training"}
    frames = [length.frames for length in found]
    assert min(frames) >= 30
    assert max(frames) <= 90
    assert 35 <= np.median(frames) <= 45
    assert found == predict_lengths(engine, Prompts(), ["a person walks"] * 50, range(50))


class Scripted(Engine):
    """Writes what a test wants it to write."""

    def generate_texts(self, questions, options, seeds=None):
        whole = [self.answers._whole_text(question, "text") for question in questions]
        self.compiled.setdefault("asked", []).append(whole)
        tokens = [self.folder.tokenizer.encode(self.compiled["script"].pop(0)) for _ in questions]
        return [self.answers.text_of(ids, options) for ids in tokens]


def scripted(model, *script):
    names = ("system", "answers", "variables", "folder", "trained")
    engine = Scripted(**{name: getattr(model.engine, name) for name in names})
    engine.compiled["script"] = list(script)
    return engine


@pytest.mark.parametrize(
    ("subtask", "answer", "frames"),
    [
        ("t2t_caption_to_framelen", " About 64 frames.", 64),
        ("t2t_caption_to_seclen", " It takes 3.0 seconds.", 60),
        ("t2t_caption_to_seclen", " 4.0 seconds.", 80),
    ],
)
def test_a_model_that_learned_lengths_is_asked_for_them(model, subtask, answer, frames):
    subtasks = load_templates("witht2t_instructions")
    body = replace(model.engine.folder.statistics, lengths=np.array([40.0, 60.0, 90.0]))
    model = replace(model, engine=replace(model.engine, folder=replace(model.engine.folder, statistics=body)))
    engine = scripted(model, *[answer] * 4, " 1 or 2.", *[" I do not know."] * 2)
    prompts = Prompts({subtask: subtasks[subtask]})
    assert predict_lengths(engine, prompts, ["a person walks"], [0]) == [(frames, "sentence")]
    assert "a person walks" in engine.compiled["asked"][0][0]


def test_a_special_token_in_a_sentence_is_refused_before_its_length_is_asked_for(model):
    prompts = Prompts(load_templates("witht2t_instructions"))
    with pytest.raises(ValueError, match="motion_latent_holder"):
        predict_lengths(model.engine, prompts, ["a person <motion_latent_holder> walks"], [0])


def test_an_answer_without_a_number_is_no_length(model):
    prompts = Prompts(load_templates("witht2t_instructions"))
    found = predict_lengths(scripted(model, *[" I do not know."] * 7), prompts, ["a person walks"], [0])
    assert found[0].source == "training"
