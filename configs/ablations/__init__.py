"""What each choice of MotionGPT3 is worth: configs that differ from `reference` in one of them.

    launch/sweep.py configs/ablations --out runs/ablations

Each file takes `base`, the published sizes on HumanML3D, or `tiny`: the same change in a model that trains within
minutes on two cores, on the embedded data.
"""

from ml_collections import ConfigDict

from motiongpt3_jax.configs import motiongpt3
from motiongpt3_jax.errors import UserError

STEPS = {"vae": 150, "text": 100, "generate": 150, "align_bare": 100}
"""Updates of the stages of `tiny`."""

FEWER_CLIPS = 600
"""Clips that are made for `tiny`."""


def start(variant: str) -> ConfigDict:
    """What is changed: `motiongpt3:base`, or its like in small.

    Raises:
      UserError: for another variant.
    """
    if variant not in ("base", "tiny"):
        raise UserError(f"no variant {variant!r} of an ablation; there are: base, tiny")
    return motiongpt3.get_config("base") if variant == "base" else tiny()


def tiny() -> ConfigDict:
    """The demo's sizes with the choices of `base`: predicted noise, and a text branch that is frozen behind `text`."""
    config = motiongpt3.get_config("demo")
    config.model.flow = False
    config.data.clips = FEWER_CLIPS
    for name, steps in STEPS.items():
        stage = config.stages[name]
        stage.update({"steps": steps, "evaluate_every": steps // 2, "checkpoint_every": steps // 2, "log_every": 10})
        with config.ignore_type():
            stage.optimizer.warmup_steps = None
    for name in language_stages(config):
        config.stages[name].trainable = motiongpt3.MOTION
    return config


def language_stages(config: ConfigDict) -> list[str]:
    """Names of the stages that train the motion branch, in order."""
    return [name for name in config.run if config.stages[name].loss == "language"]


def free_text(config: ConfigDict) -> None:
    """Lets the text branch train wherever the motion branch does."""
    for name in language_stages(config):
        config.stages[name].trainable = motiongpt3.LANGUAGE
