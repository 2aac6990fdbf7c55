"""Published decoder language models (Llama, Qwen, Gemma ...): their sizes, and weights by their names."""

from motiongpt3_jax.systems.language_models.name_table import language_model_table
from motiongpt3_jax.systems.language_models.published import PUBLISHED, read_sizes
from motiongpt3_jax.systems.language_models.sections import LanguageModelSection, check_blocks
from motiongpt3_jax.systems.language_models.stored import require_sizes, stored_language_model

__all__ = [
    "PUBLISHED",
    "LanguageModelSection",
    "check_blocks",
    "language_model_table",
    "read_sizes",
    "require_sizes",
    "stored_language_model",
]
