"""The published MotionGPT3's sizes, objectives and layout, as `configs/motiongpt3.py` has them, with changes."""

from typing import Any

from motiongpt3_jax.configs.motiongpt3 import LANGUAGE_OBJECTIVE, VAE_OBJECTIVE, layout, model
from motiongpt3_jax.systems.motiongpt3 import LanguageObjective, LayoutOptions, VaeObjective
from motiongpt3_jax.systems.motiongpt3.build import build_config

PUBLISHED = build_config({**model(), "latent_scale": 0.8457}, features=263, vocabulary=50257)


def vae_objective(**changes: Any) -> VaeObjective:
    return VaeObjective(**{**VAE_OBJECTIVE, **changes})


def language_objective(**changes: Any) -> LanguageObjective:
    return LanguageObjective(**{**LANGUAGE_OBJECTIVE, **changes})


def layout_options(**changes: Any) -> LayoutOptions:
    return LayoutOptions(**{**layout(), **changes})
