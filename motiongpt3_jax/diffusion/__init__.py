"""Noise schedules, guidance and samplers, as functions of a denoising function."""

from motiongpt3_jax.diffusion.samplers import SAMPLERS, Denoiser, Noise, guided
from motiongpt3_jax.diffusion.schedule import Schedule, linear_beta, respace

__all__ = ["SAMPLERS", "Denoiser", "Noise", "Schedule", "guided", "linear_beta", "respace"]
