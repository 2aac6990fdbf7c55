"""MotionGPT3's motions: by request and seed."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.systems.motiongpt3 import MotionGPT3, MotionOptions
from tests.systems.tiny import CONFIG, IDS, MADE, example, rows, variables

SYSTEM = MotionGPT3(CONFIG)
VARIABLES = variables()
OPTIONS = MotionOptions(sampler="ancestral", steps=3, guidance_scale=2.0)
FIRST = example(1, [5, 7, *MADE, IDS.end], (), inputs=0)
SECOND = example(2, [11, 3, 8, 2, *MADE, IDS.end], (), inputs=0)


@partial(jax.jit, static_argnames="options")
def move(batch, seeds, frames, options=OPTIONS):
    latents = SYSTEM.latents(VARIABLES, SYSTEM.conditions(VARIABLES, batch), seeds, options)
    return SYSTEM.features(VARIABLES, latents, frames, 12)


@pytest.fixture(scope="module")
def moved():
    return move(rows([FIRST], [SECOND]), jnp.array([3, 4]), jnp.array([12, 8]))


def test_a_motion_depends_on_its_own_request_and_seed_alone(moved):
    swapped = move(rows([SECOND], [FIRST]), jnp.array([4, 3]), jnp.array([8, 12]))
    np.testing.assert_allclose(swapped[::-1], moved, rtol=1e-4, atol=1e-4)
    other = move(rows([FIRST], [SECOND]), jnp.array([3, 5]), jnp.array([12, 8]))
    np.testing.assert_allclose(other[0], moved[0], rtol=1e-4, atol=1e-4)
    assert jnp.abs(other[1] - moved[1]).max() > 1e-3


def test_a_motion_is_as_long_as_asked(moved):
    assert moved.shape == (2, 12, CONFIG.vae.features)
    assert jnp.abs(moved[0, -1]).max() > 0
    assert not moved[1, 8:].any()


def test_a_motion_depends_on_its_words(moved):
    same = move(rows([FIRST], [FIRST]), jnp.array([3, 3]), jnp.array([12, 12]))
    np.testing.assert_allclose(same[0], same[1], rtol=1e-4, atol=1e-4)
    other = move(rows([SECOND], [SECOND]), jnp.array([3, 3]), jnp.array([12, 12]))
    assert jnp.abs(other[0] - same[0]).max() > 1e-3


def test_conditions_are_the_same_with_layers_one_by_one():
    batch, read = rows([FIRST], [SECOND]), jax.jit(SYSTEM.conditions)
    np.testing.assert_allclose(read(SYSTEM.unstacked(VARIABLES), batch), read(VARIABLES, batch), atol=1e-5)
