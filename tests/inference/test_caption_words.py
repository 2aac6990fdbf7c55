"""Words that no training caption has, and sentences written as captions are."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.experiment.config import read_config
from motiongpt3_jax.experiment.run import find_words
from motiongpt3_jax.inference.caption_words import WORDS, CaptionWords, read_words, words_of, write_words
from motiongpt3_jax.inference.exported import write_exported
from motiongpt3_jax.inference.folder import make_folder, plain, read_folder
from tests.inference.models import model_folder, random_variables

CAPTIONS = ["a person walks forward", "a man's arm waves, twice", "a person walks", "the man walks fast"]


@pytest.fixture
def known():
    return CaptionWords.of(CAPTIONS, ["Animate this:  "])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Jump!!!", ["jump"]),
        ("side-step, -5 ... 'now'", ["side", "step", "5", "now"]),
        ("a man’s hand, don't", ["a", "man's", "hand", "don't"]),
        ("人が前に歩く", ["人が前に歩く"]),
        ("हिन्दी चलना", ["हिन्दी", "चलना"]),
        ("run\U0001f3c3\u200d\u2642\ufe0f!", ["run", "\U0001f3c3\u2642"]),
        ("cafe\u0301 CAFÉ", ["café", "café"]),
        ("?! + =", []),
    ],
)
def test_words_are_found_without_case_and_punctuation_in_any_script(text, words):
    assert words_of(text) == words


def test_unknown_words_are_those_of_no_caption_and_no_template(known):
    assert known.unknown("A PERSON walks; forward!!!") == []
    assert known.unknown("animate this man") == []
    assert known.unknown("the person's arm") == []
    assert known.unknown("a cartwheel, 12 \U0001f938 and a Cartwheel") == ["cartwheel", "12", "\U0001f938", "and"]


def test_a_note_names_the_words_what_may_be_meant_and_how_captions_are(known):
    said = known.note(["a person wlaks", "a cartwheel", "a person walks"])
    assert said.startswith("'wlaks' (walks?), 'cartwheel' are in no caption")
    assert all(f'"{example}"' in said for example in known.examples)
    assert len(set(known.examples) & set(CAPTIONS)) == 2
    assert known.note(["a person walks"]) == ""


def test_a_note_on_many_words_stays_short(known):
    said = known.note([f"word{number}" for number in range(100)])
    assert "and 92 more words" in said
    assert len(said) < 400


def test_of_words_that_are_alike_the_commonest_is_meant():
    known = CaptionWords.of(["forword", *[f"forward {number}" for number in range(3)]])
    assert "'forwrd' (forward?)" in known.note(["forwrd"])


def test_sentences_are_written_as_captions_are(known):
    assert known.rewrite("A  Person walks,  forward!!!") == "a person walks, forward"
    assert known.rewrite("a person walks") == "a person walks"
    assert known.rewrite("歩く。") == "歩く"
    assert known.rewrite("!!!") == "!!!"
    upper = CaptionWords.of(["A person walks."])
    assert upper.rewrite("Jump!!! Now.") == "Jump Now."


def test_a_model_folder_keeps_its_words_and_so_does_its_export(known, tmp_path):
    folder = model_folder()
    made = make_folder(tmp_path / "run", folder.config, folder.tokenizer, folder.statistics, words=known)
    assert read_folder(made.path).words == known
    _, variables = random_variables(folder)
    write_exported(tmp_path / "out", made, variables, ("tune", 7))
    assert read_folder(tmp_path / "out").words == known


def test_a_folder_without_a_list_has_none_and_keeps_none_of_an_earlier_model(known, tmp_path):
    write_words(tmp_path, known)
    write_words(tmp_path, None)
    assert read_words(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"words": ["a"]}', "\udcff", "[" * 100_000])
def test_a_damaged_list_is_named(known, tmp_path, content):
    (tmp_path / WORDS).write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match=rf"{WORDS}' is damaged .*; export or download the model anew"):
        read_words(tmp_path)


def test_words_that_are_no_text_are_damage(known, tmp_path):
    write_words(tmp_path, replace(known, words=("a", 5)))
    with pytest.raises(ValueError, match="a word is no text"):
        read_words(tmp_path)


def words_of_run(start=None, begun=None):
    config = load_config("motiongpt3:tiny", ["start=somewhere"] if start or begun else [])
    split = SimpleNamespace(captions=[("a person walks",), ("a man jumps", "a man hops")])
    return find_words(
        read_config(plain(config.to_dict())), SimpleNamespace(split={"train": split}.__getitem__), begun, start
    )


def test_a_run_knows_its_captions_its_instructions_and_the_words_of_its_start(known):
    assert words_of_run().unknown("animate a man: hops twice") == ["twice"]
    assert words_of_run(replace(model_folder(), words=known)).unknown("animate a man: hops twice") == []


def test_a_run_that_goes_on_knows_the_words_of_its_start_though_that_is_gone(known):
    assert words_of_run(begun=replace(model_folder(), words=known)).unknown("hops twice") == []
    assert words_of_run(begun=model_folder()) is None


def test_a_run_from_a_model_of_unknown_words_does_not_claim_to_know_them():
    assert words_of_run(model_folder()) is None
    # A text branch or a VAE alone has seen no captions of motions.
    assert words_of_run(model_folder(untrained=("vae", "motion"))).unknown("hops twice") == ["twice"]
