"""Words: tokens, prompts, and the templates of every sub-task."""

from motiongpt3_jax.text.prompts import (
    MOTION_INPUT,
    MOTION_OUTPUT,
    caption_prompt,
    compose,
    fill_input,
    fill_output,
    motion_prompt,
)
from motiongpt3_jax.text.templates import PIECES, Pieces, Subtask, load_templates
from motiongpt3_jax.text.tokenizer import Tokenizer, load_tokenizer, train_tokenizer

__all__ = [
    "MOTION_INPUT",
    "MOTION_OUTPUT",
    "PIECES",
    "Pieces",
    "Subtask",
    "Tokenizer",
    "caption_prompt",
    "compose",
    "fill_input",
    "fill_output",
    "load_templates",
    "load_tokenizer",
    "motion_prompt",
    "train_tokenizer",
]
