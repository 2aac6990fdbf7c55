"""Measured moments folded into the parameters: the same answers with the official constant."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3
from motiongpt3_jax.systems.motiongpt3.forward import from_language, streams, to_language
from motiongpt3_jax.systems.motiongpt3.generate_motion import understand
from motiongpt3_jax.systems.motiongpt3.latents import OFFICIAL_SCALE, constant_moments, fold_moments
from motiongpt3_jax.systems.motiongpt3.modules import latent_state
from tests.systems import tiny

CONFIG = replace(tiny.CONFIG, latent_scale=OFFICIAL_SCALE)
SYSTEM = MotionGPT3(CONFIG)
CONSTANT = latent_state(CONFIG)


@pytest.fixture(scope="module")
def measured():
    """Variables whose latents have other moments in every channel."""
    rng = np.random.default_rng(3)
    mean = rng.normal(size=(1, CONFIG.vae.width)).astype(np.float32)
    spread = rng.uniform(0.3, 3, mean.shape).astype(np.float32)
    state = {"latent_mean": jnp.asarray(mean), "latent_square": jnp.asarray(spread**2 + mean**2)}
    return tiny.variables(CONFIG).replace(state=state)


@pytest.fixture(scope="module")
def official(measured):
    """The same model, as the official code would run it."""
    return Variables(fold_moments(measured.params, measured.state), CONSTANT)


@jax.jit
def decoded(variables, sampled):
    latents = from_language(variables.state, sampled)
    vae = {"params": variables.params["vae"]}
    return SYSTEM.modules.vae.apply(vae, latents, jnp.array([7, 16]), 16, method="decode")


def test_sampled_latents_give_the_same_features(measured, official):
    sampled = jnp.asarray(np.random.default_rng(0).normal(size=(2, 1, CONFIG.vae.width)), jnp.float32)
    theirs = decoded(official, sampled)
    np.testing.assert_allclose(theirs, decoded(measured, sampled), atol=1e-4)
    plain = decoded(Variables(measured.params, CONSTANT), sampled)
    assert np.abs(plain - theirs).max() > 0.01


def test_understood_latents_enter_the_language_model_alike(measured, official):
    latents = np.random.default_rng(1).normal(size=(3, CONFIG.vae.width)).astype(np.float32)

    def understood(variables):
        layer = variables.params["understand"]
        return to_language(variables.state, latents) @ layer["kernel"] + layer["bias"]

    np.testing.assert_allclose(understood(official), understood(measured), atol=1e-4)


def test_a_caption_goes_on_from_the_same_scores(measured, official):
    batch = tiny.rows([tiny.CAPTIONING], [tiny.CONTINUATION])

    @jax.jit
    def scores(variables):
        latents = understand(SYSTEM.modules, variables, batch, None)
        given = streams(SYSTEM.modules, variables.params, batch, latents)
        hidden = SYSTEM.modules.decoder.apply({"params": variables.params["decoder"]}, given)
        text = {"params": variables.params["vocabulary"]["text"]}
        return SYSTEM.modules.text.apply(text, hidden["text"], method="logits")[..., : tiny.IDS.text_vocabulary]

    np.testing.assert_allclose(scores(official), scores(measured), atol=1e-4)
    plain = scores(Variables(measured.params, CONSTANT))
    assert np.abs(plain - scores(measured)).max() > 0.01


def test_what_no_latent_passes_is_left_alone(measured, official):
    for part in ("decoder", "head", "vocabulary", "motion_head", "null_condition"):
        jax.tree.map(np.testing.assert_array_equal, official.params[part], measured.params[part])
    jax.tree.map(np.testing.assert_array_equal, official.params["vae"]["encoder"], measured.params["vae"]["encoder"])


def test_the_official_constant_is_known_when_it_is_seen(measured):
    assert constant_moments(CONSTANT)
    assert not constant_moments(measured.state)
    assert not constant_moments(latent_state(replace(CONFIG, latent_scale=0.7281)))
    assert not constant_moments(latent_state(replace(CONFIG, latent_scale=None)))


def test_another_constant_folds_too(measured):
    params, state = measured.params, latent_state(replace(CONFIG, latent_scale=0.7281))
    sampled = jnp.ones((2, 1, CONFIG.vae.width))
    theirs = decoded(Variables(fold_moments(params, state), CONSTANT), sampled)
    np.testing.assert_allclose(theirs, decoded(Variables(params, state), sampled), atol=1e-5)


def test_several_latents_with_moments_of_their_own_are_refused(measured):
    state = {name: np.concatenate([array, 2 * array]) for name, array in measured.state.items()}
    with pytest.raises(ValueError, match="the 2 latents of a clip have different moments"):
        fold_moments(measured.params, state)
