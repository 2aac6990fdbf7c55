"""Noise schedules, guidance and samplers, as functions of a denoising function."""

from motiongpt3_jax.diffusion.samplers import SAMPLERS, Denoiser, Noise, classifier_free_guidance
from motiongpt3_jax.diffusion.schedule import NoiseSchedule, linear_beta, respace

__all__ = [
    "SAMPLERS",
    "Denoiser",
    "Noise",
    "NoiseSchedule",
    "classifier_free_guidance",
    "linear_beta",
    "respace",
]
