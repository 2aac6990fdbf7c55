"""The motion VAE's own promises: what padding does, what sees what, and what it refuses."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import MotionVae, VaeConfig, vae_loss
from tests.models.tiny import drawn

CONFIG = VaeConfig(
    features=70,
    width=8,
    layers=3,
    heads=2,
    mlp_width=12,
    latents=1,
    max_frames=9,
    dropout=0.1,
    dtype="float32",
    remat="none",
)
REMATTED = replace(CONFIG, remat="full")
FRAMES = jnp.array([5, 3])
CLIPS = jax.random.normal(jax.random.key(1), (2, 5, 70)) * (jnp.arange(5) < FRAMES[:, None])[..., None]


@cache
def weights():
    return drawn(MotionVae(CONFIG).init, CLIPS, FRAMES)


@partial(jax.jit, static_argnames=("config", "method", "length", "deterministic"))
def apply(*args, method, config=CONFIG, length=None, deterministic=True, dropout=None):
    extra = () if length is None else (length,)
    rngs = None if dropout is None else {"dropout": dropout}
    vae = MotionVae(config)
    return vae.apply({"params": weights()}, *args, *extra, method=method, deterministic=deterministic, rngs=rngs)


def test_frames_beyond_a_clips_own_change_nothing():
    mean, log_variance = apply(CLIPS, FRAMES, method="encode")
    noisy = CLIPS.at[1, 3:].set(100.0)
    for ours, wanted in zip(apply(noisy, FRAMES, method="encode"), (mean, log_variance)):
        np.testing.assert_allclose(ours, wanted, atol=1e-6)
    short = apply(CLIPS[1:, :3], FRAMES[1:], method="encode")
    np.testing.assert_allclose(short[0], mean[1:], atol=1e-5)


def test_a_decoded_clip_is_the_same_in_any_length_and_zero_beyond_its_frames():
    latent = jax.random.normal(jax.random.key(2), (2, 1, 8))
    long = apply(latent, FRAMES, method="decode", length=7)
    assert not long[0, 5:].any()
    assert not long[1, 3:].any()
    assert long[1, :3].any()
    np.testing.assert_allclose(apply(latent, FRAMES, method="decode", length=5), long[:, :5], atol=1e-5)


@pytest.mark.slow
def test_remat_changes_neither_parameters_nor_results():
    def loss(params, config, dropout):
        rngs = {"dropout": dropout}
        mean, spread = MotionVae(config).apply(
            {"params": params}, CLIPS, FRAMES, method="encode", deterministic=False, rngs=rngs
        )
        decoded = MotionVae(config).apply(
            {"params": params}, mean, FRAMES, 5, method="decode", deterministic=False, rngs=rngs
        )
        return jnp.sum(decoded**2) + jnp.sum(spread**2)

    found = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    for ours, wanted in zip(*(found(weights(), config, jax.random.key(5)) for config in (CONFIG, REMATTED))):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, wanted)


def test_every_frame_sees_every_other():
    latent = jax.random.normal(jax.random.key(2), (2, 1, 8))
    positions = weights()["decoder_positions"]

    def first_frame(positions):
        changed = {**weights(), "decoder_positions": positions}
        return MotionVae(CONFIG).apply({"params": changed}, latent, FRAMES, 5, method="decode")[0, 0] @ jnp.arange(70.0)

    found = jnp.abs(jax.jit(jax.grad(first_frame))(positions)).max(axis=1)
    assert (found[:5] > 0).all()
    assert (found[5:] == 0).all()


def test_a_single_latent_reaches_all_frames_alike_with_and_without_the_short_cut():
    latent = jax.random.normal(jax.random.key(2), (2, 1, 8))
    none = replace(CONFIG, dropout=0.0)
    wanted = apply(latent, FRAMES, method="decode", length=5)
    # Two equal latents share the weight of one, but are attended to in full.
    double = apply(jnp.repeat(latent, 2, axis=1), FRAMES, method="decode", length=5)
    np.testing.assert_allclose(double, wanted, atol=1e-5)
    training = apply(latent, FRAMES, method="decode", length=5, config=none, deterministic=False)
    np.testing.assert_allclose(training, wanted, atol=1e-5)


def test_dropout_acts_only_when_asked():
    first, second = (
        apply(CLIPS, FRAMES, method="encode", deterministic=False, dropout=k)[0]
        for k in jax.random.split(jax.random.key(3))
    )
    assert float(jnp.abs(first - second).max()) > 1e-3


def test_bfloat16_is_near_float32_and_results_are_float32():
    config = replace(CONFIG, dtype="bfloat16")
    for ours, wanted in zip(*(apply(CLIPS, FRAMES, method="encode", config=c) for c in (config, CONFIG))):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, wanted, atol=0.15)


def test_clips_beyond_the_position_tables_are_refused():
    with pytest.raises(ValueError, match="a clip of 8 frames does not fit the motion VAE; use 1 to 7 frames"):
        apply(jnp.zeros((1, 8, 70)), jnp.array([8]), method="encode")
    with pytest.raises(ValueError, match="a clip of 10 frames does not fit the motion VAE; use 1 to 9 frames"):
        apply(jnp.zeros((1, 1, 8)), jnp.array([10]), method="decode", length=10)


@pytest.mark.parametrize(("change", "message"), [({"layers": 4}, "an odd number"), ({"width": 9}, "multiple of its 2")])
def test_sizes_that_do_not_fit_together_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **change)


def losses(features, decoded, frames, padding):
    latent = jnp.ones((len(features), 1, 2))
    found = jax.jit(vae_loss, static_argnames="padding")
    sums, counts = found(features, decoded, latent, 0 * latent, jnp.asarray(frames), padding=padding)
    return {name: float(sums[name]) for name in sums}, {name: float(counts[name]) for name in counts}


@pytest.mark.parametrize("padding", [True, False])
def test_the_loss_of_clips_is_the_sum_of_each_clips(padding):
    decoded = CLIPS + (jnp.arange(5) < FRAMES[:, None])[..., None] * 1.5
    together = losses(CLIPS, decoded, FRAMES, padding)
    alone = [losses(CLIPS[i : i + 1], decoded[i : i + 1], FRAMES[i : i + 1], padding) for i in range(2)]
    for ours, first, second in zip(together, *alone):
        assert ours == pytest.approx({name: first[name] + second[name] for name in ours}, rel=1e-5)


def test_padding_counts_as_right_answers_only_when_asked():
    decoded = CLIPS + (jnp.arange(5) < FRAMES[:, None])[..., None] * 0.5
    sums, counts = losses(CLIPS, decoded, FRAMES, padding=False)
    assert sums["features"] / counts["features"] == pytest.approx(0.5 * 0.5**2, rel=1e-5)
    official_sums, official_counts = losses(CLIPS, decoded, FRAMES, padding=True)
    assert official_sums["features"] == pytest.approx(sums["features"])
    assert official_counts["features"] / counts["features"] == pytest.approx(10 / 8)
    assert counts["positions"] == 8 * 63


def test_feet_that_are_off_count_by_their_place_and_by_how_fast_they_slide():
    sums, counts = losses(CLIPS[:1], CLIPS[:1].at[0, :, 4:67].add(0.25), [5], padding=False)
    assert sums["feet"] == pytest.approx(12 * 5 * 0.25, rel=1e-5)
    assert counts["feet"] == 5 * 12
    sums, _ = losses(CLIPS[:1], CLIPS[:1].at[0, 2:, 4 + 3 * 6].add(0.25), [5], padding=False)
    assert sums["feet"] == pytest.approx(3 * 0.25 + 0.25, rel=1e-5)
    sums, _ = losses(CLIPS[:1], CLIPS[:1].at[0, :, 4 + 3 * 5].add(0.25), [5], padding=False)
    assert sums["feet"] == 0.0


def test_an_empty_place_for_a_clip_counts_nowhere():
    decoded = CLIPS.at[1].set(7.0)
    sums, counts = losses(CLIPS, decoded, [5, 0], padding=True)
    assert sums == pytest.approx({**dict.fromkeys(sums, 0.0), "kl": 0.5 * 2}, abs=1e-6)
    assert counts["features"] == 5 * 70
    assert counts["kl"] == 2
