"""Noise schedules."""

import numpy as np
import pytest

from motiongpt3_jax.diffusion import respace
from motiongpt3_jax.diffusion.samplers import even_log_snr
from tests.diffusion.official import SCHEDULE


@pytest.mark.parametrize("steps", [1, 2, 7, 100, 1000])
def test_respacing_keeps_what_is_left_of_the_signal(steps):
    few = respace(SCHEDULE, steps)
    np.testing.assert_allclose(few.alphas_cumprod, SCHEDULE.alphas_cumprod[few.timesteps], rtol=1e-12)
    assert few.timesteps[-1] == 999
    assert len(few.timesteps) == steps


def test_respacing_to_all_steps_changes_nothing():
    np.testing.assert_allclose(respace(SCHEDULE, 1000).betas, SCHEDULE.betas, rtol=1e-9)


def test_the_posterior_is_bayes_rule_for_two_gaussians():
    few = respace(SCHEDULE, 10)
    before = np.append(1.0, few.alphas_cumprod[:-1])
    # x_{t-1} given x_0 has variance 1 - before; x_t given x_{t-1} has variance beta.
    precision = 1 / (1 - before[1:]) + (1 - few.betas[1:]) / few.betas[1:]
    np.testing.assert_allclose(few.posterior_variance[1:], 1 / precision, rtol=1e-9)
    np.testing.assert_allclose(few.posterior_mean_coef1[1:], np.sqrt(before[1:]) / (1 - before[1:]) / precision)
    np.testing.assert_allclose(few.posterior_mean_coef2[1:], np.sqrt(1 - few.betas[1:]) / few.betas[1:] / precision)


def test_noisy_signals_have_the_schedules_mean_and_variance():
    step = np.array([0, 500, 999])
    ones = np.ones((3, 1, 1), np.float32)
    signal, spread = (SCHEDULE.q_sample(a * ones, step, b * ones)[:, 0, 0] for a, b in ((1, 0), (0, 1)))
    np.testing.assert_allclose(signal**2, SCHEDULE.alphas_cumprod[step], rtol=1e-6)
    np.testing.assert_allclose(spread**2, 1 - SCHEDULE.alphas_cumprod[step], rtol=1e-5)


@pytest.mark.parametrize("few_steps", [respace, even_log_snr])
@pytest.mark.parametrize("steps", [0, 1001])
def test_steps_that_the_schedule_does_not_have_are_refused(few_steps, steps):
    with pytest.raises(ValueError, match=f"{steps} steps cannot be taken from a schedule of 1000; ask for 1 to 1000"):
        few_steps(SCHEDULE, steps)


@pytest.mark.parametrize("steps", [*range(1, 40), *range(40, 1000, 97), 999, 1000])
def test_steps_even_in_log_snr_are_distinct_and_rise(steps):
    kept = even_log_snr(SCHEDULE, steps)
    assert len(kept) == steps
    assert (np.diff(kept) > 0).all()
    assert kept[0] >= 0
    assert kept[-1] == 999


def test_few_steps_are_even_in_log_snr():
    kept = even_log_snr(SCHEDULE, 10)
    log_snr = 0.5 * np.log(SCHEDULE.alphas_cumprod / (1 - SCHEDULE.alphas_cumprod))[kept]
    gaps = -np.diff(log_snr)
    np.testing.assert_allclose(gaps, gaps.mean(), rtol=0.2)
