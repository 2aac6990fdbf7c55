"""MotionGPT3's tokens and how a question and its answer become one text.

Six tokens follow those of the text: two that mark a motion in the text, four that stand for motion. With GPT-2's ids:

    <start_of_motion> 50257, <end_of_motion> 50258    text, before and behind a motion
    <masked_motion> 50259                             a chunk of motion that is missing: the first id that is no text
    <pad_motion> 50260                                a place for motion that stays empty
    <motion_latent_holder_output> 50261               a place for a chunk of a motion to be generated
    <motion_latent_holder> 50262                      a place for a chunk of a given motion
"""

from collections.abc import Mapping
from dataclasses import dataclass

from motiongpt3_jax.text.prompts import fill
from motiongpt3_jax.text.subtasks import PLACEHOLDERS
from motiongpt3_jax.text.tokenizer import BPE, CHARACTER_BPE, END, Tokenizer, TokenSpec

HOLDERS = 4
"""Motion slots that stand for one clip, as published."""

SEPARATOR = " \n "
START, STOP, MASK, PAD, OUTPUT, INPUT = TOKENS = (
    "<start_of_motion>",
    "<end_of_motion>",
    "<masked_motion>",
    "<pad_motion>",
    "<motion_latent_holder_output>",
    "<motion_latent_holder>",
)
TOKEN_SPEC = TokenSpec(TOKENS, (BPE, CHARACTER_BPE))


def motion_input(holders: int = HOLDERS) -> str:
    """A motion that the model reads, as so many slots."""
    return START + INPUT * holders + STOP


def motion_output(holders: int = HOLDERS) -> str:
    """A motion that the model makes, as so many slots."""
    return START + OUTPUT * holders + STOP


MOTION_INPUT, MOTION_OUTPUT = motion_input(), motion_output()
"""Both as published."""

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


@dataclass(frozen=True)
class TokenIds:
    """Ids of the tokens that mean something to the layout.

    Attributes:
      end: ends and pads texts.
      start_of_motion, end_of_motion: stand in the text before and behind a motion.
      text_vocabulary: number of ids that are text; motion ids count on from here.
      output_holder, input_holder: stand for chunks of motions to be made, and of given ones.
      holders: how many stand for one motion.
    """

    end: int
    start_of_motion: int
    end_of_motion: int
    text_vocabulary: int
    output_holder: int
    input_holder: int
    holders: int = HOLDERS

    @classmethod
    def of(cls, tokenizer: Tokenizer, holders: int = HOLDERS) -> "TokenIds":
        """Those of a tokenizer."""
        start, stop, mask, output, holder = map(tokenizer.id_of, (START, STOP, MASK, OUTPUT, INPUT))
        return cls(tokenizer.end, start, stop, mask, output, holder, holders)


def motion_fillings(motion: str, holders: int = HOLDERS) -> dict[str, str]:
    """What stands for each placeholder of motions, where one motion is written so.

    Of a motion whose middle is missing, beginning and end are given, each as so many slots, and the middle is masked.
    """
    single = {placeholder: motion for placeholder, motions in PLACEHOLDERS.items() if motions == 1}
    given = motion_input(holders)
    return single | {"<Motion_Placeholder_Masked>": given + MASK * holders + given}


def fill_input(template: str, caption: str, frames: int, coin: float, fps: float = 20.0, holders: int = HOLDERS) -> str:
    """A question, see `text.fill`: motions are the model's input."""
    return fill(template, caption, frames, coin, motion_fillings(motion_input(holders), holders), fps)


def fill_output(
    template: str, caption: str, frames: int, coin: float, fps: float = 20.0, holders: int = HOLDERS
) -> str:
    """An answer: motions are the model's output; otherwise as `fill_input`."""
    return fill(template, caption, frames, coin, motion_fillings(motion_output(holders), holders), fps)


def compose(question: str, answer: str, end: str = END) -> str:
    """Question and answer as one text with the token that ends it; "" where the answer goes on."""
    return question + SEPARATOR + answer + end


def motion_prompt(question: str) -> str:
    """The whole text whose last holders become a motion."""
    return compose(question, MOTION_OUTPUT)


def text_prompt(question: str) -> str:
    """The whole text that the model goes on with to answer in words.

    It ends before the space of the separator, which belongs to the first word: " a person ...".
    """
    return question + SEPARATOR.rstrip(" ")
