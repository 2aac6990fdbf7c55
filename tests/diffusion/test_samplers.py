"""Samplers on distributions whose best denoiser is known in closed form."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.diffusion import SAMPLERS, Denoiser, classifier_free_guidance, samplers
from motiongpt3_jax.diffusion.samplers import even_log_snr, steps_at_once
from tests.diffusion.official import SCHEDULE

MEAN, SPREAD = 2.0, 0.5
SHAPE = (64, 1, 64)
LEFT = jnp.asarray(SCHEDULE.alphas_cumprod, jnp.float32)


def broadcast(eps, rows=SHAPE[0]):
    """A denoiser of a function of latents and a time for each of so many rows."""
    return Denoiser(lambda t: jnp.broadcast_to(t[:, None], (len(t), rows)), eps)


def options(steps, temperature=1.0, eta=0.0):
    return SimpleNamespace(steps=steps, temperature=temperature, eta=eta)


def gaussian_eps(x, t):
    """The expected noise in x when clean signals are normal with MEAN and SPREAD."""
    left = LEFT[t.astype(int)][:, None, None]
    return jnp.sqrt(1 - left) * (x - jnp.sqrt(left) * MEAN) / (left * SPREAD**2 + 1 - left)


def gaussian_velocity(x, t):
    """The expected `clean - noise` on the straight line between noise and those signals."""
    t = t[:, None, None]
    spread = t**2 * SPREAD**2 + (1 - t) ** 2
    return MEAN + (t * SPREAD**2 - (1 - t)) / spread * (x - t * MEAN)


def exact(start):
    """Where the probability flow carries noise that starts at the last step: Gaussians stay Gaussian."""
    left = float(SCHEDULE.alphas_cumprod[-1])
    return MEAN + SPREAD * (start - np.sqrt(left) * MEAN) / np.sqrt(left * SPREAD**2 + 1 - left)


def keys(first=0, count=SHAPE[0]):
    return jax.vmap(jax.random.key)(jnp.arange(first, first + count))


@partial(jax.jit, static_argnames=("name", "steps", "shape"))
def sample(name, noise, steps, temperature=1.0, shape=SHAPE):
    denoiser = broadcast(gaussian_velocity if name == "euler" else gaussian_eps, shape[0])
    return SAMPLERS[name](denoiser, SCHEDULE, noise, shape, options(steps, temperature))


def start():
    return jax.random.normal(jax.random.key(7), SHAPE)


def recorded(steps):
    return start(), jnp.zeros((steps, *SHAPE))


def error(name, steps):
    """Root mean squared distance from the exact probability flow."""
    return float(jnp.sqrt(jnp.mean((sample(name, recorded(steps), steps) - exact(start())) ** 2)))


@pytest.mark.parametrize(("name", "steps"), [("ancestral", 250), ("ddim", 100), ("dpm++", 20), ("euler", 100)])
def test_samples_have_the_distributions_mean_and_spread(name, steps):
    samples = sample(name, keys(), steps)
    np.testing.assert_allclose(samples.mean(), MEAN, atol=0.05)
    np.testing.assert_allclose(samples.std(), SPREAD, rtol=0.05)


def test_ten_steps_of_the_second_order_come_near_a_hundred_of_the_first():
    np.testing.assert_allclose(sample("dpm++", recorded(10), 10), sample("ddim", recorded(100), 100), atol=0.2 * SPREAD)


def test_the_second_order_is_nearer_to_the_exact_flow_than_the_first():
    assert error("dpm++", 10) < error("ddim", 10) / 3
    assert error("dpm++", 20) < error("ddim", 20) / 3


def test_more_steps_come_nearer_to_the_exact_flow():
    assert error("ddim", 100) < error("ddim", 20) / 3
    assert error("dpm++", 40) < error("dpm++", 10) / 4


def test_every_step_weighs_its_data_prediction_by_the_last_two_step_widths():
    """arXiv 2211.01095, algorithm 2, written out for three uneven steps."""
    kept = even_log_snr(SCHEDULE, 3)
    signal, spread = (np.sqrt(a) for a in (SCHEDULE.alphas_cumprod[kept], 1 - SCHEDULE.alphas_cumprod[kept]))
    log_snr = np.log(signal / spread)

    def clean(x, step):
        t = jnp.full(len(x), kept[step])
        return (x - spread[step] * np.asarray(gaussian_eps(x, t))) / signal[step]

    x = start()
    h_before, h = log_snr[1] - log_snr[2], log_snr[0] - log_snr[1]
    r = h_before / h
    first = clean(x, 2)
    x = spread[1] / spread[2] * x - signal[1] * np.expm1(-h_before) * first
    second = clean(x, 1)
    ahead = (1 + 1 / (2 * r)) * second - 1 / (2 * r) * first
    x = spread[0] / spread[1] * x - signal[0] * np.expm1(-h) * ahead
    np.testing.assert_allclose(sample("dpm++", recorded(3), 3), clean(x, 0), atol=1e-4)


def test_a_constant_velocity_is_followed_exactly_in_one_step():
    constant = broadcast(lambda x, t: jnp.full_like(x, 3.0))
    samples = SAMPLERS["euler"](constant, SCHEDULE, recorded(1), SHAPE, options(1))
    np.testing.assert_allclose(samples, start() + 3.0, rtol=1e-6)


def test_euler_tells_the_time_from_noise_to_data():
    clock = broadcast(lambda x, t: t[:, None, None] + 0 * x)
    samples = SAMPLERS["euler"](clock, SCHEDULE, recorded(4), SHAPE, options(4))
    np.testing.assert_allclose(samples - start(), (0 + 0.25 + 0.5 + 0.75) / 4, rtol=1e-5)


@pytest.mark.parametrize("name", SAMPLERS)
def test_several_times_are_given_to_a_denoiser_at_once_and_each_step_has_its_own(name):
    eps, asked = gaussian_velocity if name == "euler" else gaussian_eps, []

    def times(t):
        asked.append(t.shape)
        return t

    def of_scalar(x, t):
        assert t.shape == ()
        return eps(x, jnp.broadcast_to(t, (len(x),)))

    # 512 rows of a product are 8 steps of 64.
    samples = SAMPLERS[name](Denoiser(times, of_scalar), SCHEDULE, keys(), SHAPE, options(24))
    np.testing.assert_allclose(samples, one_by_one(name, 24), rtol=1e-4, atol=1e-4)
    assert asked == [(8,)]


def one_by_one(name, steps):
    """Samples of a denoiser that is given one time after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samplers, "steps_at_once", lambda steps, batch: 1)
        eps = gaussian_velocity if name == "euler" else gaussian_eps
        return SAMPLERS[name](broadcast(eps), SCHEDULE, keys(), SHAPE, options(steps))


@pytest.mark.parametrize(
    ("steps", "batch", "count"),
    [(100, 32, 10), (10, 32, 10), (100, 1, 10), (64, 1, 16), (17, 1, 1), (100, 256, 2), (8, 999, 1)],
)
def test_steps_that_are_prepared_together_divide_all_and_are_fewer_for_many_rows(steps, batch, count):
    assert steps_at_once(steps, batch) == count


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_request_does_not_depend_on_its_batch_mates(name):
    together = sample(name, keys(5, 3), 4, shape=(3, 1, 64))
    alone = sample(name, keys(6, 1), 4, shape=(1, 1, 64))
    np.testing.assert_allclose(together[1:2], alone, rtol=1e-5, atol=1e-5)


def test_requests_with_different_keys_differ():
    samples = sample("ddim", keys(0, 3), 4, shape=(3, 1, 64))
    assert float(jnp.abs(samples[0] - samples[1]).min()) > 0


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_ddim_with_all_its_noise_is_the_ancestral_sampler(temperature):
    noise = start(), jax.random.normal(jax.random.key(8), (10, *SHAPE))
    denoiser, all_noise = broadcast(gaussian_eps), options(10, temperature, eta=1.0)
    run = jax.jit(lambda noise: SAMPLERS["ddim"](denoiser, SCHEDULE, noise, SHAPE, all_noise))
    np.testing.assert_allclose(run(noise), sample("ancestral", noise, 10, temperature), atol=1e-4)


def test_without_temperature_an_ancestral_sample_depends_on_its_start_alone():
    zeros = sample("ancestral", recorded(10), 10)
    np.testing.assert_allclose(sample("ancestral", (start(), start()[None].repeat(10, 0)), 10, 0.0), zeros, rtol=1e-5)


def test_guidance_goes_from_the_unconditional_guess_through_the_conditional_one():
    conditional, unconditional = jnp.full((1, 1, 1), 3.0), jnp.full((1, 1, 1), 1.0)
    for scale, expected in ((0.0, 1.0), (1.0, 3.0), (2.5, 6.0)):
        assert float(classifier_free_guidance(conditional, unconditional, scale)[0, 0, 0]) == expected
