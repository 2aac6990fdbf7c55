"""Decoding that keeps to a grammar, with a model that likes what is not allowed."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import TextOptions
from motiongpt3_jax.models.generate_text import generate_text

END = 4


class Counting(NamedTuple):
    """Allows 0, then 1, then 2 as often as a row is told, then the end."""

    def allowed(self, left):
        step, twos = left
        ids = jnp.minimum(step, 2)
        ids = jnp.where((step > 1) & (twos == 0), END, ids)
        return jnp.arange(5) == ids[:, None]

    def advance(self, left, ids):
        step, twos = left
        return step + 1, twos - (ids == 2)


def decode(options):
    def step(cache, tokens, positions, index, only):
        return jnp.broadcast_to(jnp.arange(5.0), (*tokens.shape, 5)), cache

    state = jnp.zeros(2, jnp.int32), jnp.array([1, 3])
    return generate_text(
        jnp.tile(jnp.arange(5.0), (2, 1)), {}, step, options, vocabulary=5, positions=jnp.zeros(2, jnp.int32), index=0,
        seeds=jnp.arange(2), grammar=(Counting(), state),
    )  # fmt: skip


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_each_row_is_at_its_own_place_of_the_grammar(temperature):
    tokens = decode(TextOptions(end=END, max_new=7, temperature=temperature))
    np.testing.assert_array_equal(tokens, [[0, 1, 2, END, END, END, END], [0, 1, 2, 2, 2, END, END]])


def test_beams_do_not_keep_to_a_grammar():
    with pytest.raises(ValueError, match="keeps to a grammar has one"):
        decode(TextOptions(end=END, max_new=7, beams=2))
