"""Prompts: placeholders of a template filled in, question and answer joined into one text."""

from collections.abc import Mapping
from typing import Literal

from motiongpt3_jax.text.odd_text import odd_text
from motiongpt3_jax.text.subtasks import PLACEHOLDER, PLACEHOLDERS
from motiongpt3_jax.text.tokenizer import END, SPECIALS, require_unicode

Style = Literal["train", "official_eval", "official_eval_length"]
"""How questions are put: as in training, or as the official evaluation puts them."""

HOLDERS = 4
FPS = 20
SEPARATOR = " \n "

_START, _STOP, _MASK, _, _OUTPUT, _INPUT = SPECIALS
MOTION_INPUT = _START + _INPUT * HOLDERS + _STOP
"""A motion that the model reads."""

MOTION_OUTPUT = _START + _OUTPUT * HOLDERS + _STOP
"""A motion that the model makes."""

MOTION_MASKED = MOTION_INPUT + _MASK * HOLDERS + MOTION_INPUT
"""A motion's beginning and end, with its middle left out."""

OFFICIAL_QUESTIONS: Mapping[str, Mapping[str, str]] = {
    "official_eval": {
        "t2m": "Generate motion: <Caption_Placeholder> \n",
        "m2t": "Generate text: <Motion_Placeholder> \n",
        "predict": "Predict motion: <Motion_Placeholder_s1> \n",
        "inbetween": "Complete the masked motion: <Motion_Placeholder_Masked> \n",
    },
    "official_eval_length": {"m2t": "Generate text with <Frame_Placeholder> frames: <Motion_Placeholder> \n"},
}
"""What the official evaluation asks, by style and task. It never asks so in training, and its line break comes before
the separator's own. `official_eval_length` tells the length of the motion to be described."""


def fill_input(template: str, caption: str, frames: int, coin: float) -> str:
    """A question: motions are the model's input.

    Args:
      template: text with placeholders.
      caption: the clip's sentence.
      frames: the clip's length at 20 fps; whole seconds are told as "2.0".
      coin: below 0.5 the caption is put in double quotes, unless it has one already.
    """
    return _fill(template, caption, frames, coin, MOTION_INPUT)


def fill_output(template: str, caption: str, frames: int, coin: float) -> str:
    """An answer: motions are the model's output; otherwise as `fill_input`."""
    return _fill(template, caption, frames, coin, MOTION_OUTPUT)


def compose(question: str, answer: str, end: bool = True) -> str:
    """Question and answer as one text, ended unless the answer goes on."""
    return question + SEPARATOR + answer + (END if end else "")


def motion_prompt(question: str) -> str:
    """The whole text whose last holders become a motion."""
    return compose(question, MOTION_OUTPUT)


def text_prompt(question: str) -> str:
    """The whole text that the model goes on with to answer in words.

    It ends before the space of the separator, which belongs to the first word: " a person ...".
    """
    return question + SEPARATOR.rstrip(" ")


def check_words(sentence: str) -> None:
    """Raises ValueError when a sentence holds a special token, or what is no text."""
    require_unicode(sentence)
    odd = odd_text(sentence)
    if odd:
        raise ValueError(f"the sentence {sentence!r:.200} holds {odd}; leave it out")


def _fill(template: str, caption: str, frames: int, coin: float, motion: str) -> str:
    fillings = {placeholder: motion for placeholder, motions in PLACEHOLDERS.items() if motions == 1} | {
        "<Motion_Placeholder_Masked>": MOTION_MASKED,
        "<Caption_Placeholder>": f'"{caption}"' if coin < 0.5 and '"' not in caption else caption,
        "<Frame_Placeholder>": str(frames),
        "<Second_Placeholder>": f"{frames // FPS:.1f}",
    }
    # All at once: what a caption says is never taken for a placeholder.
    return PLACEHOLDER.sub(lambda found: fillings.get(found[0], found[0]), template)
