"""Words: tokens, prompts, and the templates of every sub-task."""

from motiongpt3_jax.text.tokenizer import Tokenizer, load_tokenizer, train_tokenizer

__all__ = ["Tokenizer", "load_tokenizer", "train_tokenizer"]
