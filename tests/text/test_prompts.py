import pytest

from motiongpt3_jax.systems.motiongpt3.prompts import (
    MOTION_INPUT,
    MOTION_OUTPUT,
    compose,
    fill_input,
    fill_output,
    motion_prompt,
    text_prompt,
)
from motiongpt3_jax.text import check_words

CAPTION = "<Caption_Placeholder>"


@pytest.mark.parametrize(
    ("caption", "coin", "expected"),
    [
        ("a man waves", 0.49, '"a man waves"'),
        ("a man waves", 0.5, "a man waves"),
        ('he "waves"', 0.1, 'he "waves"'),
    ],
)
def test_a_low_coin_quotes_a_caption_without_quotes(caption, coin, expected):
    assert fill_input(CAPTION, caption, 40, coin) == expected
    assert fill_output(CAPTION, caption, 40, coin) == expected


@pytest.mark.parametrize(("frames", "seconds"), [(19, "0.0"), (59, "2.0"), (196, "9.0")])
def test_lengths_are_frames_and_whole_seconds(frames, seconds):
    template = "<Frame_Placeholder>/<Second_Placeholder>"
    assert fill_input(template, "", frames, 1.0) == f"{frames}/{seconds}"


@pytest.mark.parametrize("placeholder", ["<Motion_Placeholder>", "<Motion_Placeholder_s1>", "<Motion_Placeholder_s2>"])
def test_a_motion_is_read_in_the_question_and_made_in_the_answer(placeholder):
    assert fill_input(placeholder, "", 40, 1.0) == MOTION_INPUT
    assert fill_output(placeholder, "", 40, 1.0) == MOTION_OUTPUT


def test_a_masked_motion_has_four_masks_between_its_ends():
    filled = fill_input("<Motion_Placeholder_Masked>", "", 40, 1.0)
    assert filled == MOTION_INPUT + "<masked_motion>" * 4 + MOTION_INPUT


def test_a_placeholder_written_in_a_caption_stays():
    assert fill_input(f"{CAPTION} <Frame_Placeholder>", "<Frame_Placeholder>", 40, 1.0) == "<Frame_Placeholder> 40"


def test_an_answer_that_goes_on_has_no_end():
    assert compose("q", "a") == "q \n a<|endoftext|>"
    assert compose("q", "", end="") == "q \n "


def test_a_text_prompt_and_a_word_are_the_trained_sequence():
    assert text_prompt(MOTION_INPUT) + " a man" == compose(MOTION_INPUT, "a man", end="")


def test_a_motion_prompt_is_the_trained_sequence():
    assert motion_prompt("a man waves") == compose("a man waves", MOTION_OUTPUT)


@pytest.mark.parametrize(
    ("odd", "what"),
    [
        ("<|endoftext|>", "has a meaning of its own"),
        ("<motion_latent_holder_output>", "has a meaning of its own"),
        ("<Caption_Placeholder>", "stands for something else in templates"),
        ("<Motion_Placeholder_s1>", "stands for something else"),
        ("\0", r"the control character U\+0000, which is no text"),
        ("\x1b[31m", r"U\+001B"),
        ("\x85", r"U\+0085"),
        ("\ue000", r"the private character U\+E000"),
    ],
)
def test_a_sentence_with_what_is_no_text_is_refused(odd, what):
    with pytest.raises(ValueError, match=what):
        check_words(f"a man {odd} walks")


@pytest.mark.parametrize("text", ["a man <walks>", "he\tgoes\n", "人が歩く 🚶\u200d♂️", "don't, é", ""])
def test_text_of_any_script_is_text(text):
    check_words(text)
