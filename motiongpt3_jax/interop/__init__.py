"""Weights of other implementations in and out."""

from motiongpt3_jax.interop.entries import TIED, Entry, entries, parameter_shapes
from motiongpt3_jax.interop.gpt2 import from_gpt2, read_gpt2
from motiongpt3_jax.interop.official import from_official, to_official

__all__ = ["TIED", "Entry", "entries", "from_gpt2", "from_official", "parameter_shapes", "read_gpt2", "to_official"]
