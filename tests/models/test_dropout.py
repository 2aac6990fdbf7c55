"""Dropout: its share, its mean, its independence, and that the backward pass drops what the forward pass dropped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models.dropout import Dropout, dropout, keep_mask


def seed(number):
    return jax.random.bits(jax.random.key(number), (2,), jnp.uint32)


def test_the_asked_share_is_zero_and_the_others_are_scaled():
    dropped = dropout(jnp.ones((200, 500)), seed(0), 0.1)
    assert abs(float((dropped == 0).mean()) - 0.1) < 0.005
    np.testing.assert_allclose(dropped[dropped != 0], 1 / 0.9, rtol=1e-6)


def test_places_and_seeds_are_independent():
    masks = np.stack([np.asarray(keep_mask(seed(number), (64, 512), 0.5)) for number in range(4)]) * 2.0 - 1.0
    pairs = [masks[0] * masks[1], masks[2] * masks[3], masks[:, 1:] * masks[:, :-1], masks[..., 1:] * masks[..., :-1]]
    for pair in pairs:
        assert abs(pair.mean()) < 4 / pair.size**0.5
    assert abs(masks.mean(axis=2)).max() < 5 / 512**0.5


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_gradients_pass_where_values_passed(kind):
    x = jnp.linspace(1.0, 2.0, 60).reshape(3, 20).astype(kind)
    dropped = dropout(x, seed(1), 0.3)
    gradient = jax.grad(lambda x: dropout(x, seed(1), 0.3).astype(jnp.float32).sum())(x)
    assert dropped.dtype == gradient.dtype == kind
    np.testing.assert_array_equal(dropped == 0, gradient == 0)
    np.testing.assert_allclose(gradient[gradient != 0].astype(np.float32), 1 / 0.7, rtol=1e-2)


def test_the_backward_pass_keeps_no_mask():
    _, pullback = jax.vjp(lambda x: dropout(x, seed(1), 0.3), jnp.ones((40, 50)))
    assert sum(leaf.size for leaf in jax.tree.leaves(pullback)) < 40 * 50


@pytest.mark.parametrize(("rate", "deterministic"), [(0.5, True), (0.0, False)])
def test_nothing_is_dropped_without_a_rate_or_when_deterministic(rate, deterministic):
    x = jnp.arange(6.0).reshape(2, 3)
    made = Dropout(rate).apply({}, x, deterministic, rngs={"dropout": jax.random.key(0)})
    np.testing.assert_array_equal(made, x)
