"""Words: tokenizers, tasks, instruction templates and how they become prompts; no system's own tokens."""

from motiongpt3_jax.text.odd_text import odd_text
from motiongpt3_jax.text.prompts import check_words, fill
from motiongpt3_jax.text.subtasks import TEMPLATES, Subtask, load_templates
from motiongpt3_jax.text.tasks import ALL_TASKS, TASKS, Task, of_role
from motiongpt3_jax.text.tokenizer import Tokenizer, TokenSpec, load_tokenizer, train_tokenizer

__all__ = [
    "ALL_TASKS",
    "TASKS",
    "TEMPLATES",
    "Subtask",
    "Task",
    "TokenSpec",
    "Tokenizer",
    "check_words",
    "fill",
    "load_templates",
    "load_tokenizer",
    "odd_text",
    "of_role",
    "train_tokenizer",
]
