import pytest

from motiongpt3_jax.text.prompt_files import Prompt, split_marks

MARKED = [Prompt("a person walks", 120), Prompt("he jumps, twice", 60)]


@pytest.mark.parametrize(
    "lines",
    [
        ["a person walks#120", "he jumps, twice#60"],
        ["a person walks # 120", "he jumps, twice #60"],
        ["120 a person walks", "60 he jumps, twice"],
        ["120\ta person walks", "60\the jumps, twice"],
        ["a person walks,120", "he jumps, twice,60"],
        ['"a person walks",120', '"he jumps, twice", 60'],
        ["a person walks\t120", "he jumps, twice\t60"],
        ["a person walks;120", "he jumps, twice;60"],
    ],
)
def test_lengths_beside_sentences_are_recognised(lines):
    assert split_marks(lines) == MARKED


def test_a_length_that_is_left_to_the_model_is_none():
    assert split_marks(["he walks#NA", "he runs#40", "he sits"]) == [
        ("he walks", None),
        ("he runs", 40),
        ("he sits", None),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["he takes 4 steps", "she turns by 90"],
        ["2 people walk", "he jumps"],
        ["2 people walk", "3 people jump"],
        ["he counts 1, 2"],
        ["he walks, then he counts to, 3", "he jumps"],
        ["he walks # slowly"],
        ["120"],
        [],
    ],
)
def test_numbers_of_sentences_stay_in_them(lines):
    assert split_marks(lines) == [(line, None) for line in lines]
