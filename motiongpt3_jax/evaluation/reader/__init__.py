"""Reads motions, and sentences about them, by rules: what is shown, not how well it is shown."""

from motiongpt3_jax.evaluation.reader.motions import read
from motiongpt3_jax.evaluation.reader.reading import Reading, Shown, matches
from motiongpt3_jax.evaluation.reader.sentences import read_caption

__all__ = ["Reading", "Shown", "matches", "read", "read_caption"]
