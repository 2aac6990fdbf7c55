"""Templates from files as the official code has them, and captions in quotes."""

import json
from dataclasses import replace

import pytest

from motiongpt3_jax.systems.motion_codes.pieces import known
from motiongpt3_jax.systems.motion_codes.prompts import Filling, fill_parts, hidden_codes, load_subtasks
from motiongpt3_jax.systems.motiongpt.prompts import OFFICIAL_QUESTIONS
from motiongpt3_jax.text import TASKS

OFFICIAL = {
    "Text-to-Motion": {
        "caption": {"class": "t2m", "input": ["", "Do <Caption_Placeholder>"], "output": ["<Motion_Placeholder>"]},
        "caption_framelen": {"class": "t2m", "input": ["<Frame_Placeholder>"], "output": ["<Motion_Placeholder>"]},
        "framelen": {"class": "l2m", "input": ["Fill <Framelen_Placeholder>"], "output": ["<Motion_Placeholder>"]},
        "random": {"class": "n2m", "input": [""], "output": ["<Motion_Placeholder>"]},
    },
    "Motion-to-Text": {
        "count-sec": {"class": "m2l", "input": ["<Motion_Placeholder>?"], "output": ["<Second_Placeholder>"]},
    },
}


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "template_instructions.json"
    file.write_text(json.dumps(OFFICIAL), encoding="utf-8")
    return file


def test_official_sub_tasks_have_names_of_their_own(path):
    names = ["t2m_caption", "t2m_framelen", "l2m_framelen", "t2m_random", "m2l_count_sec"]
    assert [*load_subtasks(path)] == [*load_subtasks(path, official=True)] == names


def test_questions_without_words_are_left_out_unless_officially_or_alone(path):
    assert load_subtasks(path)["t2m_caption"].inputs == ("Do <Caption_Placeholder>",)
    assert load_subtasks(path, official=True)["t2m_caption"].inputs == ("", "Do <Caption_Placeholder>")
    assert load_subtasks(path)["t2m_random"].inputs == ("",)


def test_a_placeholder_that_officially_stays_is_filled_with_the_frames(path, tokens):
    [line] = load_subtasks(path)["l2m_framelen"].inputs
    assert fill_parts(line, Filling(length=61), tokens, official=False) == ["Fill 61"]
    assert fill_parts(line, Filling(length=61), tokens, official=True) == [line]


def test_captions_are_quoted_as_the_coin_falls(tokens):
    filling = Filling('he says "hi"', coin=0.4)
    template = "Show <Caption_Placeholder>"
    assert fill_parts(template, filling, tokens, official=False) == ['Show he says "hi"']
    assert fill_parts(template, filling, tokens, official=True) == ['Show "he says "hi""']
    assert fill_parts(template, replace(filling, coin=0.5), tokens, official=True) == ['Show he says "hi"']


def test_what_a_caption_says_is_no_placeholder(tokens):
    filling = Filling("do <Motion_Placeholder> 5 times", motions=[known(tokens, [1])])
    words, motion, rest = fill_parts("<Caption_Placeholder> then <Motion_Placeholder>", filling, tokens, False)
    assert (words, rest) == ("do <Motion_Placeholder> 5 times then ", "")
    assert motion.ids.tolist() == [tokens.start_of_motion, tokens.first_code + 1, tokens.end_of_motion]


def test_every_official_question_is_of_a_task_and_has_its_motions():
    for questions in OFFICIAL_QUESTIONS.values():
        for task, question in questions.items():
            assert ("<Motion_" in question) == bool(TASKS[task].input_spans)
            assert ("<Caption_" in question) == (TASKS[task].role == "generate")


def test_something_is_hidden_however_short_the_motion():
    assert [hidden_codes(frames, frames // 4, frames - frames * 3 // 4) for frames in (8, 24, 61, 196)] == [1, 2, 8, 23]
