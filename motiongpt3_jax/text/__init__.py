"""Words: the tokenizer, the tasks, the templates of every sub-task and how they become prompts."""

from motiongpt3_jax.text.odd_text import odd_text
from motiongpt3_jax.text.prompts import (
    MOTION_INPUT,
    MOTION_OUTPUT,
    OFFICIAL_QUESTIONS,
    Style,
    check_words,
    compose,
    fill_input,
    fill_output,
    motion_prompt,
    text_prompt,
)
from motiongpt3_jax.text.subtasks import PIECES, TEMPLATES, Pieces, Subtask, load_templates
from motiongpt3_jax.text.tokenizer import Tokenizer, load_tokenizer, train_tokenizer

__all__ = [
    "MOTION_INPUT",
    "MOTION_OUTPUT",
    "OFFICIAL_QUESTIONS",
    "PIECES",
    "TEMPLATES",
    "Pieces",
    "Style",
    "Subtask",
    "Tokenizer",
    "check_words",
    "compose",
    "fill_input",
    "fill_output",
    "load_templates",
    "load_tokenizer",
    "motion_prompt",
    "odd_text",
    "text_prompt",
    "train_tokenizer",
]
