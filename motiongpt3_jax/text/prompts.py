"""Prompts: placeholders of a template filled in, question and answer joined into one text."""

from collections.abc import Mapping
from typing import Literal

from motiongpt3_jax.text.subtasks import PLACEHOLDER, PLACEHOLDERS
from motiongpt3_jax.text.tokenizer import END, SPECIALS

Style = Literal["train", "official_eval", "official_eval_length"]

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

MOTION_PROMPTS: Mapping[str, str] = {
    "train": "<Caption_Placeholder>",
    "official_eval": "Generate motion: <Caption_Placeholder> \n",
}
CAPTION_PROMPTS: Mapping[str, str] = {
    "train": "<Motion_Placeholder> \n",
    "official_eval": "Generate text: <Motion_Placeholder> \n \n",
    "official_eval_length": "Generate text with <Frame_Placeholder> frames: <Motion_Placeholder> \n \n",
}
"""What the model is asked: as in training without instructions, or as the official evaluation asks, which doubles the
line break. `official_eval_length` tells the length of the motion to be described."""


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


def motion_prompt(sentence: str, style: Style = "train") -> str:
    """The question that asks for a motion of this sentence; `compose` it with `MOTION_OUTPUT`.

    Raises:
      ValueError: there is no such style, or the sentence holds a special token.
    """
    for token in (END, *SPECIALS):
        if token in sentence:
            raise ValueError(f"the sentence {sentence!r} holds {token}, which has a meaning of its own; leave it out")
    return fill_input(_styled(MOTION_PROMPTS, style), sentence, 0, coin=1.0)


def caption_prompt(frames: int, style: Style = "train") -> str:
    """The whole text that the model goes on with to describe a motion of so many frames.

    It ends before the space of the separator, which belongs to the first word: " a person ...".

    Raises:
      ValueError: there is no such style.
    """
    return fill_input(_styled(CAPTION_PROMPTS, style), "", frames, coin=1.0)


def _fill(template: str, caption: str, frames: int, coin: float, motion: str) -> str:
    fillings = {placeholder: motion for placeholder, motions in PLACEHOLDERS.items() if motions == 1} | {
        "<Motion_Placeholder_Masked>": MOTION_MASKED,
        "<Caption_Placeholder>": f'"{caption}"' if coin < 0.5 and '"' not in caption else caption,
        "<Frame_Placeholder>": str(frames),
        "<Second_Placeholder>": f"{frames // FPS:.1f}",
    }
    # All at once: what a caption says is never taken for a placeholder.
    return PLACEHOLDER.sub(lambda found: fillings.get(found[0], found[0]), template)


def _styled(prompts: Mapping[str, str], style: str) -> str:
    if style not in prompts:
        raise ValueError(f"unknown style {style!r} of prompts; there are: {', '.join(prompts)}")
    return prompts[style]
