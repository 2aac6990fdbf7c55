"""Prompts of a model: the words of its training, with a length where one is told."""

import pytest

from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.text import load_templates

SENTENCE = "a person waves"


def prompts(templates, *names):
    subtasks = load_templates(templates)
    return Prompts({name: subtasks[name] for name in names or subtasks})


@pytest.mark.parametrize(
    ("names", "length"),
    [
        (("t2m_caption", "t2m_framelen"), "50"),
        (("t2m_caption", "t2m_seclen"), "2"),
        (("t2m_seclen", "t2m_framelen"), "50"),
    ],
)
def test_a_length_is_told_where_training_told_lengths_in_frames_rather_than_seconds(names, length):
    question = prompts("instructions", *names).motion_question(SENTENCE, "train", 0, 50, tell_length=True)
    assert SENTENCE in question
    assert length in question


@pytest.mark.parametrize(("frames", "tell_length"), [(0, True), (50, False)])
def test_a_question_without_a_length_is_the_plain_one(frames, tell_length):
    trained = prompts("instructions")
    plain = trained.question("t2m", caption=SENTENCE)
    assert trained.motion_question(SENTENCE, "train", 0, frames, tell_length) == plain
    assert "50" not in plain


def test_without_words_for_lengths_the_question_is_the_plain_one():
    assert prompts("pretrain").motion_question(SENTENCE, "train", 0, 50, tell_length=True) == SENTENCE
