"""Noise schedules: how much of a signal is left at each step (DDPM, arXiv 2006.11239; respacing, arXiv 2102.09672)."""

from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from motiongpt3_jax.errors import UserError


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """A variance-preserving noise schedule; tables are float64 and become float32 where they meet arrays.

    Attributes:
      betas: variance added in each step.
      timesteps: the step of the full schedule that each step stands for, which the network is told.
    """

    betas: Float[np.ndarray, "steps"]
    timesteps: Int[np.ndarray, "steps"]

    @cached_property
    def alphas_cumprod(self) -> Float[np.ndarray, "steps"]:
        """Share of the signal's variance left after each step."""
        return np.cumprod(1.0 - self.betas)

    @cached_property
    def _before(self) -> Float[np.ndarray, "steps"]:
        return np.append(1.0, self.alphas_cumprod[:-1])

    @cached_property
    def posterior_variance(self) -> Float[np.ndarray, "steps"]:
        """Variance of the step before, given this one and the clean signal."""
        return self.betas * (1.0 - self._before) / (1.0 - self.alphas_cumprod)

    @cached_property
    def posterior_mean_coef1(self) -> Float[np.ndarray, "steps"]:
        """Weight of the clean signal in the mean of the step before."""
        return self.betas * np.sqrt(self._before) / (1.0 - self.alphas_cumprod)

    @cached_property
    def posterior_mean_coef2(self) -> Float[np.ndarray, "steps"]:
        """Weight of this step in that mean."""
        return (1.0 - self._before) * np.sqrt(1.0 - self.betas) / (1.0 - self.alphas_cumprod)

    def q_sample(
        self,
        clean: Float[Array, "*batch tokens latent"],
        step: Int[Array, "*batch"],
        noise: Float[Array, "*batch tokens latent"],
    ) -> Float[Array, "*batch tokens latent"]:
        """Forward process: the noisy signal at a step of this schedule."""
        signal = jnp.asarray(np.sqrt(self.alphas_cumprod), jnp.float32)[step][..., None, None]
        spread = jnp.asarray(np.sqrt(1.0 - self.alphas_cumprod), jnp.float32)[step][..., None, None]
        return signal * clean + spread * noise


def linear_beta(steps: int, first: float, last: float) -> NoiseSchedule:
    """Linear beta schedule (the official code names this `scaled_linear`)."""
    return NoiseSchedule(np.linspace(first, last, steps, dtype=np.float64), np.arange(steps))


def respace(schedule: NoiseSchedule, steps: int) -> NoiseSchedule:
    """Respace a schedule to fewer steps, evenly spaced, the first and the last kept.

    Raises:
      UserError: more steps than the schedule has, or none.
    """
    total = len(schedule.betas)
    if not 1 <= steps <= total:
        raise UserError(f"{steps} steps cannot be taken from a schedule of {total}; ask for 1 to {total}")
    if steps == 1:
        return at_steps(schedule, np.array([total - 1]))
    stride = (total - 1) / (steps - 1)
    return at_steps(schedule, np.array([round(stride * i) for i in range(steps)]))


def at_steps(schedule: NoiseSchedule, kept: Int[np.ndarray, "steps"]) -> NoiseSchedule:
    """The schedule that visits only the given steps, in rising order."""
    left = schedule.alphas_cumprod[kept]
    return NoiseSchedule(1.0 - left / np.append(1.0, left[:-1]), schedule.timesteps[kept])
