"""MotionGPT3's motions: by request and seed."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.systems.motiongpt3 import MotionGPT3, MotionOptions
from tests.systems.tiny import CONFIG, IDS, MADE, example, rows, variables

SYSTEM = MotionGPT3(CONFIG)
OPTIONS = MotionOptions(sampler="ancestral", steps=3, guidance_scale=2.0)
FIRST = example(1, [5, 7, *MADE, IDS.end], (), inputs=0)
SECOND = example(2, [11, 3, 8, 2, *MADE, IDS.end], (), inputs=0)


@partial(jax.jit, static_argnames="options")
def move(batch, seeds, frames, options=OPTIONS):
    latents = SYSTEM.latents(variables(), SYSTEM.conditions(variables(), batch), seeds, options)
    return SYSTEM.features(variables(), latents, frames, 12)


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
    np.testing.assert_allclose(read(SYSTEM.unstacked(variables()), batch), read(variables(), batch), atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sampler": "magic"}, "sampler of a motion is 'magic': choose ancestral, ddim"),
        ({"steps": 0}, "steps of a motion is 0: take a whole number, at least 1"),
        ({"guidance_scale": float("nan")}, "guidance_scale of a motion is nan"),
        ({"guidance_scale": -1.0}, "guidance_scale of a motion is -1.0: give 0 to 1000; 1 is none"),
        ({"temperature": -1.0}, "temperature of a motion is -1.0"),
        ({"eta": 2.0}, "eta of a motion is 2.0"),
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused_in_one_sentence(wrong, said):
    with pytest.raises(ValueError, match=said):
        MotionOptions(**wrong)


@pytest.mark.parametrize(
    ("flow", "sampler", "kind"), [(False, "euler", "diffusion"), (True, "ddim", "a rectified flow")]
)
def test_a_sampler_of_the_other_kind_of_model_is_refused(flow, sampler, kind):
    system = MotionGPT3(replace(CONFIG, flow=flow))
    condition = SYSTEM.null_conditions(variables(), 1)
    with pytest.raises(ValueError, match=f"sampler '{sampler}' does not fit this model, which was trained as {kind}"):
        system.latents(variables(), condition, jnp.array([0]), MotionOptions(sampler=sampler, steps=1))
