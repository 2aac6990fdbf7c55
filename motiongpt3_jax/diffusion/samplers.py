"""Diffusion and flow samplers (DDPM, DDIM, DPM-Solver++, Euler), as functions of a denoising function.

Noise comes from one key per request, so that batch mates change nothing, or as recorded arrays (start, (steps, ...) in
order of use).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from motiongpt3_jax.diffusion.schedule import NoiseSchedule, at_steps, respace
from motiongpt3_jax.errors import UserError

Latents = Float[Array, "batch tokens latent"]
Noise = Key[Array, "batch"] | tuple[Latents, Float[Array, "steps batch tokens latent"]]
Shape = tuple[int, int, int]

MOST_ROWS = 512
"""Rows of a batch, times steps, whose times are prepared together: more make products no faster, and take memory."""

MOST_STEPS = 16
"""Steps whose times are prepared together."""


@dataclass(frozen=True)
class Denoiser:
    """A model that tells the noise in latents, its work on times apart from that on latents.

    Attributes:
      times: steps of the full schedule, or times of a rectified flow in [0, 1] -> a tree with as many rows in front, of
        which `eps` takes one. It is called for several steps at once.
      eps: (latents, a row of that tree) -> the noise in them or, for rectified flow, the velocity.
    """

    times: Callable[[Float[Array, "steps"]], Any]
    eps: Callable[[Latents, Any], Latents]


class Options(Protocol):
    """Options of a sampler."""

    steps: int
    temperature: float
    eta: float


def classifier_free_guidance(conditional: Latents, unconditional: Latents, scale: float) -> Latents:
    """Classifier-free guidance (arXiv 2207.12598): away from the unconditional guess."""
    return unconditional + scale * (conditional - unconditional)


def start_noise(noise: Noise, shape: Shape) -> Latents:
    """Initial noise of sampling."""
    return noise[0] if isinstance(noise, tuple) else _normals(noise, 0, shape)


def step_noise(noise: Noise, step: Array, shape: Shape) -> Latents:
    """Fresh noise of the given step, in order of use."""
    return noise[1][step] if isinstance(noise, tuple) else _normals(noise, step + 1, shape)


def _normals(keys: Key[Array, "batch"], number: Any, shape: Shape) -> Latents:
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, number), shape[1:]))(keys)


def ancestral(denoiser: Denoiser, schedule: NoiseSchedule, noise: Noise, shape: Shape, options: Options) -> Latents:
    """DDPM ancestral sampling with the small fixed variance, unclipped, as the official code samples."""
    few = respace(schedule, options.steps)
    tables = {
        "t": few.timesteps,
        "inverse": np.sqrt(1.0 / few.alphas_cumprod),
        "inverse_noise": np.sqrt(1.0 / few.alphas_cumprod - 1.0),
        "clean": few.posterior_mean_coef1,
        "noisy": few.posterior_mean_coef2,
        "spread": np.sqrt(few.posterior_variance),
    }

    def step(x: Latents, at: dict[str, Array]) -> tuple[Latents, None]:
        clean = at["inverse"] * x - at["inverse_noise"] * denoiser.eps(x, at["t"])
        fresh = step_noise(noise, at["number"], shape) * options.temperature
        return at["clean"] * clean + at["noisy"] * x + at["spread"] * fresh, None

    return _run(step, start_noise(noise, shape), tables, shape, denoiser)


def ddim(denoiser: Denoiser, schedule: NoiseSchedule, noise: Noise, shape: Shape, options: Options) -> Latents:
    """DDIM (arXiv 2010.02502, equation 12): `eta` 0 adds no fresh noise, 1 as much as the ancestral sampler."""
    few = respace(schedule, options.steps)
    before = np.append(1.0, few.alphas_cumprod[:-1])
    variance = options.eta**2 * few.posterior_variance
    tables = {
        "t": few.timesteps,
        "signal": np.sqrt(few.alphas_cumprod),
        "spread": np.sqrt(1.0 - few.alphas_cumprod),
        "next_signal": np.sqrt(before),
        "next_spread": np.sqrt(1.0 - before - variance),
        "fresh": np.sqrt(variance),
    }

    def step(x: Latents, at: dict[str, Array]) -> tuple[Latents, None]:
        predicted = denoiser.eps(x, at["t"])
        clean = (x - at["spread"] * predicted) / at["signal"]
        x = at["next_signal"] * clean + at["next_spread"] * predicted
        if options.eta:
            x = x + at["fresh"] * options.temperature * step_noise(noise, at["number"], shape)
        return x, None

    return _run(step, start_noise(noise, shape), tables, shape, denoiser)


def dpm_solver_pp_2m(
    denoiser: Denoiser, schedule: NoiseSchedule, noise: Noise, shape: Shape, options: Options
) -> Latents:
    """DPM-Solver++(2M) evenly spaced in log-SNR (arXiv 2211.01095, algorithm 2); the last step is first order."""
    few = at_steps(schedule, even_log_snr(schedule, options.steps))
    signal, spread = np.sqrt(few.alphas_cumprod), np.sqrt(1.0 - few.alphas_cumprod)
    log_snr = np.log(signal / spread)
    # Index 0 is the last step: it goes to the clean signal, where only the data prediction is left.
    width = np.append(np.inf, log_snr[:-1] - log_snr[1:])
    second = np.zeros(len(width))
    second[1:-1] = 0.5 * width[1:-1] / width[2:]
    tables = {
        "t": few.timesteps,
        "signal": signal,
        "spread": spread,
        "keep": np.append(0.0, spread[:-1] / spread[1:]),
        "gain": np.append(1.0, signal[:-1] * -np.expm1(-width[1:])),
        "second": second,
    }

    def step(carry: tuple[Latents, Latents], at: dict[str, Array]) -> tuple[tuple[Latents, Latents], None]:
        x, before = carry
        clean = (x - at["spread"] * denoiser.eps(x, at["t"])) / at["signal"]
        ahead = clean + at["second"] * (clean - before)
        return (at["keep"] * x + at["gain"] * ahead, clean), None

    start = start_noise(noise, shape)
    return _run(step, (start, jnp.zeros_like(start)), tables, shape, denoiser)[0]


def even_log_snr(schedule: NoiseSchedule, steps: int) -> np.ndarray:
    """Steps of the schedule, rising, as evenly spaced in log-SNR as whole steps allow.

    Raises:
      UserError: more steps than the schedule has, or none.
    """
    total = len(schedule.betas)
    if not 1 <= steps <= total:
        raise UserError(f"{steps} steps cannot be taken from a schedule of {total}; ask for 1 to {total}")
    log_snr = 0.5 * np.log(schedule.alphas_cumprod / (1.0 - schedule.alphas_cumprod))
    wanted = np.linspace(log_snr[-1], log_snr[0], steps)
    kept = np.sort(np.abs(log_snr[None] - wanted[:, None]).argmin(axis=1))
    # Whole steps are scarce at the clean end: move what collides apart.
    kept = np.maximum.accumulate(kept - np.arange(steps)) + np.arange(steps)
    excess = np.minimum(kept, total - steps + np.arange(steps))
    return excess.astype(int)


def euler(denoiser: Denoiser, schedule: NoiseSchedule, noise: Noise, shape: Shape, options: Options) -> Latents:
    """Euler steps of a rectified flow from noise (time 0) to data (time 1) (arXiv 2209.03003)."""
    del schedule
    tables = {"t": np.arange(options.steps)[::-1] / options.steps}

    def step(x: Latents, at: dict[str, Array]) -> tuple[Latents, None]:
        return x + denoiser.eps(x, at["t"]) / options.steps, None

    return _run(step, start_noise(noise, shape), tables, shape, denoiser)


SAMPLERS = {"ancestral": ancestral, "ddim": ddim, "dpm++": dpm_solver_pp_2m, "euler": euler}
"""The samplers by name."""


def steps_at_once(steps: int, batch: int) -> int:
    """Steps whose times are prepared together: they divide all steps."""
    most = max(1, min(MOST_STEPS, MOST_ROWS // batch))
    return max(count for count in range(1, most + 1) if steps % count == 0)


def _run(step: Callable[..., Any], start: Any, tables: dict[str, np.ndarray], shape: Shape, denoiser: Denoiser) -> Any:
    """Runs a step over tables that are indexed by step, from the last to the first."""
    steps = len(tables["t"])
    together = (-1, steps_at_once(steps, shape[0]))
    rows = {name: jnp.asarray(table[::-1].reshape(together), jnp.float32) for name, table in tables.items()}
    rows["number"] = jnp.arange(steps).reshape(together)

    def several(carry: Any, rows: dict[str, Array]) -> tuple[Any, None]:
        return jax.lax.scan(step, carry, {**rows, "t": denoiser.times(rows["t"])})[0], None

    return jax.lax.scan(several, start, rows)[0]
