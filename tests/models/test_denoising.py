"""Denoising steps are those of the head, with what depends on time alone computed for several of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import DiffusionHead, denoise_step, modulate_steps, unstack_blocks
from motiongpt3_jax.models.dense import kernels_transposed
from tests.models.test_head import CONFIG, PARAMS

HEAD = DiffusionHead(CONFIG)
X = jax.random.normal(jax.random.key(4), (5, 2, CONFIG.latent))
Y = jax.random.normal(jax.random.key(5), (3, 4, CONFIG.width))
"""Of 3 steps and 4 conditions."""

INDEX = jnp.array([0, 1, 3, 3, 2])


def steps(params, x, y, index):
    """The noise at each step."""

    def step(_, modulations):
        return None, denoise_step(HEAD, params, x, modulations, index)

    return jax.lax.scan(step, None, modulate_steps(HEAD, params, y))[1]


@pytest.mark.parametrize("prepared", [unstack_blocks, jax.jit(unstack_blocks)], ids=["before", "within a program"])
def test_steps_whose_modulations_are_computed_together_are_those_of_the_head(prepared):
    noise = jax.jit(steps)(prepared(PARAMS), X, Y, INDEX)
    whole = jax.jit(lambda y: HEAD.apply({"params": PARAMS}, X, y, INDEX, method="denoise"))
    for each, y in zip(noise, Y, strict=True):
        np.testing.assert_allclose(each, whole(y), atol=1e-5)


def test_every_row_may_have_a_condition_of_its_own():
    noise = steps(unstack_blocks(PARAMS), X[:4], Y, None)
    np.testing.assert_allclose(noise, steps(unstack_blocks(PARAMS), X[:4], Y, jnp.arange(4)), atol=1e-6)


def test_blocks_are_copied_once_and_lie_as_cpus_read_them():
    params = unstack_blocks(PARAMS)
    assert len(params["blocks"]) == CONFIG.depth
    assert kernels_transposed(params["blocks"])
    assert unstack_blocks(params) is params
