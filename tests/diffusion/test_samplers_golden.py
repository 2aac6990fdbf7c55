"""Guided ancestral sampling against the official sampler, noise recorded."""

import re
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from motiongpt3_jax.diffusion import SAMPLERS, Denoiser, classifier_free_guidance
from tests.diffusion.official import HEAD, SCHEDULE, head_params
from tests.golden import compare, golden
from tests.quick import one_quick

pytestmark = pytest.mark.golden


def runs():
    """(steps, guidance scale, temperature or nothing) of every recorded run."""
    try:
        names = golden("diffusion_head").files
    except pytest.skip.Exception:
        return [("10", "3", "")]
    matches = (re.fullmatch(r"sample(\d+)_cfg([\d.]+)(?:_temp([\d.]+))?_out", name) for name in names)
    return [(match[1], match[2], match[3] or "") for match in matches if match]


@partial(jax.jit, static_argnames="steps")
def sample(params, start, noise, conditions, scale, temperature, steps):
    def head(*args, method):
        return HEAD.apply({"params": params}, *args, method=method)

    pooled = head(conditions, method="pool")

    def eps(x, time):
        predicted = head(jnp.concatenate([x, x]), pooled + time, method="denoise")
        return classifier_free_guidance(*jnp.split(predicted, 2), scale)

    denoiser = Denoiser(lambda t: head(t, method="time"), eps)
    options = SimpleNamespace(steps=steps, temperature=temperature)
    return SAMPLERS["ancestral"](denoiser, SCHEDULE, (start, noise), start.shape, options)


@one_quick(("steps", "scale", "temperature"), runs())
def test_samples_equal_the_official_ones(steps, scale, temperature):
    data, name = golden("diffusion_head"), f"sample{steps}_cfg{scale}"
    conditions = jnp.concatenate([data["sample_c"], data["sample_uncond"]])
    noise = data[f"{name}_init_noise"], data[f"{name}_step_noise"]
    ours = sample(head_params(), *noise, conditions, float(scale), float(temperature or 1), int(steps))
    name += f"_temp{temperature}_out" if temperature else "_out"
    compare(f"diffusion_head/{name}", ours, data[name], atol=0, rtol=1e-4, relative_to_max=True)
