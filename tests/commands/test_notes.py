"""What the commands and Python say of sentences that a model was not trained on."""

import json
import shutil
import warnings

import numpy as np
import pytest

from motiongpt3_jax import Chat, Model, Note
from motiongpt3_jax.inference.caption_words import WORDS
from tests.commands.conftest import call

FAST = ("--frames", "24", "--steps", "2", "--format", "none")
QUICK = {"frames": [24], "steps": 2}


def notes_of(function, *arguments, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments, **options)
    return [warning for warning in caught if warning.category is Note]


@pytest.fixture(scope="module")
def model(trained):
    return Model.load(trained)


def test_generate_says_which_words_no_caption_has_on_the_console_the_page_and_the_manifest(trained, tmp_path):
    asked = ("--text", "a person wlaks Forward!", "a person walks forward", "歩く \U0001f3c3", *FAST)
    status, _, error = call("generate", "--model", trained, *asked, "--out", tmp_path)
    assert status == 0, error
    (said,) = [line for line in error.splitlines() if "in no caption" in line]
    assert said.startswith("note: 'wlaks' (walks?), '歩く', '\U0001f3c3' are in no caption")
    words = json.loads((trained / WORDS).read_text(encoding="utf-8"))
    assert all(f'"{example}"' in said for example in words["examples"])
    motions = json.loads((tmp_path / "manifest.json").read_text())["motions"]
    assert [motion.get("unknown_words") for motion in motions] == [["wlaks"], None, ["歩く", "\U0001f3c3"]]
    assert (tmp_path / "index.html").read_text(encoding="utf-8").count("in no caption of the training: ") == 2
    assert [motion.get("read_as") for motion in motions] == ["a person wlaks forward", None, None]
    assert 'note: "a person wlaks Forward!" is read as "a person wlaks forward"' in error


def test_nothing_is_said_of_known_words(trained, tmp_path):
    status, _, error = call("generate", "--model", trained, "--text", "a man walks", *FAST, "--out", tmp_path)
    assert status == 0, error
    assert "in no caption" not in error
    assert "is read as" not in error


def test_capitals_and_signs_that_no_caption_has_change_nothing(model):
    plain, loud = model.generate(["a man jumps up", "A man JUMPS up!!!"], frames=[24, 24], steps=2)
    again = model.generate("A man JUMPS up!!!", **QUICK)
    np.testing.assert_array_equal(again.joints, model.generate("a man jumps up", **QUICK).joints)
    assert np.abs(loud.joints - plain.joints).max() > 0  # of other seeds
    assert model.lengths("A man JUMPS up!!!") == model.lengths("a man jumps up")


@pytest.mark.parametrize("ask", ["generate", "lengths"])
def test_a_special_token_is_refused_and_not_taken_for_signs(model, ask):
    with pytest.raises(ValueError, match="has a meaning of its own"):
        getattr(model, ask)("a man <motion_latent_holder> jumps")


def test_the_official_styles_take_a_sentence_as_it_is(model):
    texts = [model._question("A man JUMPS!!!", 0, 40, style).text for style in ("train", "official_eval")]
    assert "a man jumps" in texts[0]
    assert "A man JUMPS!!!" in texts[1]


def test_python_is_warned_at_its_own_line(model):
    (note,) = notes_of(model.generate, "a cartwheel", **QUICK)
    assert "'cartwheel' is in no caption" in str(note.message)
    assert note.filename == __file__
    assert model.unknown_words("a man's cartwheel!") == ["cartwheel"]
    assert notes_of(model.generate, "a man walks", **QUICK) == []


def test_a_folder_without_a_list_says_so_once(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "old", ignore=shutil.ignore_patterns(WORDS, "data"))
    old = Model.load(tmp_path / "old")
    assert old.unknown_words("a cartwheel") == []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for sentence in ("a cartwheel", "12345"):
            old.generate(sentence, **QUICK)
    (note,) = [warning for warning in caught if warning.category is Note]
    assert "does not say which words this model was trained on" in str(note.message)
    status, _, error = call(
        "generate", "--model", tmp_path / "old", "--text", "Jump!", "12345", *FAST, "--out", tmp_path / "made"
    )
    assert status == 0, error
    assert error.count("does not say which words") == 1


def test_chat_says_that_the_model_never_learned_to_chat_and_which_words_it_never_saw(trained, tmp_path):
    asked = ("Show a cartwheel", "What is <motion:none.npy>?", "--max-tokens", "4", "--steps", "2")
    status, _, error = call("chat", "--model", trained, *asked, "--format", "none", "--out", tmp_path)
    assert status == 2
    assert error.count("note: no stage of this model trained it on the task 'chat'") == 1
    assert "note: 'show', 'cartwheel' are in no caption" in error


@pytest.mark.parametrize("task", ["predict", "inbetween", "chat"])
def test_python_is_warned_of_tasks_that_the_model_never_learned(model, task):
    walk = model.generate("a man walks", **QUICK)
    calls = {
        "predict": lambda: model.predict(walk, 2.0, steps=2),
        "inbetween": lambda: model.inbetween(walk, walk, 1.0, steps=2),
        "chat": lambda: Chat(model).say("a man walks", decoding={"max_new": 4}, seconds=1.0, steps=2),
    }
    (note,) = notes_of(calls[task])
    assert f"no stage of this model trained it on the task '{task}'" in str(note.message)


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        (("generate", "--text", "a", "person", "walks"), "3 sentences of one word each; if they are one, put it in"),
        (("chat", "What", "is", "this?"), 'put it in quotes: "What is this?"'),
        (("generate", "--text", "jump"), ""),
        (("generate", "--text", "a person", "walks"), ""),
    ],
)
def test_forgotten_quotes_are_guessed(asked, hint, tmp_path):
    _, _, error = call(*asked, "--model", tmp_path / "none", "--out", tmp_path / "out")
    assert ("put it in quotes" in error) == bool(hint)
    assert hint in error


@pytest.mark.parametrize("command", ["generate", "chat"])
@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("a " * 300, "the sentence 'a a a a"),
        ("caf\udce9 walks", r"'caf\udce9 walks' holds bytes that are no Unicode text"),
    ],
)
def test_a_sentence_that_cannot_be_read_is_shown_without_what_stands_around_it(
    trained, tmp_path, command, sentence, said
):
    asked = ("--text", sentence) if command == "generate" else (sentence,)
    status, _, error = call(command, "--model", trained, *asked, "--steps", "2", "--out", tmp_path / "out")
    assert status == 2
    assert said in error.replace("  ", " ")
    assert "holder" not in error
    assert not (tmp_path / "out").exists()
