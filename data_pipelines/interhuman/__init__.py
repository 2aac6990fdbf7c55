"""Captioned motions of two people: InterHuman (Liang et al. 2023), or any folder laid out like it."""

from motiongpt3_jax.data_pipelines.interhuman.convert import MIN_FRAMES, SOURCE, build, clip_count, clips, survey
from motiongpt3_jax.data_pipelines.interhuman.folder import Folder, open_folder

__all__ = ["MIN_FRAMES", "SOURCE", "Folder", "build", "clip_count", "clips", "open_folder", "survey"]
