"""Validation of the sections of a config that are MotionGPT3's: sizes, layout, objectives."""

from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.adapters import read_adapters
from motiongpt3_jax.systems.language_models import check_blocks
from motiongpt3_jax.systems.motiongpt3.config import LanguageObjective, VaeObjective
from motiongpt3_jax.systems.motiongpt3.layout import LayoutOptions
from motiongpt3_jax.systems.motiongpt3.sections import ModelSection
from motiongpt3_jax.values import from_values

OBJECTIVES = {"vae": VaeObjective, "text": LanguageObjective, "language": LanguageObjective}
"""The objective of each loss."""


def read_model(values: Any, path: str = "model") -> ModelSection:
    """The section `model` of a config.

    Args:
      values: the section.
      path: where it stands, as errors name it.

    Raises:
      UserError: a size is none, or does not go with another; says which.
    """
    model = from_values(ModelSection, values, path)
    read_adapters(model.lora, f"{path}.lora")
    vae, decoder, head = model.vae, model.decoder, model.head
    motion = decoder.motion_width
    _check_heads(f"{path}.vae.width {vae.width}", vae.width, vae.heads)
    check_blocks(f"{path}.decoder", decoder)
    if min(decoder.mlp_widths) < 1:
        raise UserError(
            f"{path}.decoder.mlp_width {decoder.mlp_width} times its motion_factor leaves no width: take more"
        )
    widths = f"{path}.decoder.width {decoder.width} times its motion_factor {decoder.motion_factor:g}"
    if decoder.branches == 1 and decoder.motion_factor != 1:
        raise UserError(f"{widths}; with {path}.decoder.branches 1 both streams have the same weights: set it to 1.0")
    if motion < 1:
        raise UserError(f"{widths} leaves no width for motion; take a larger factor")
    _check_heads(f"{widths} is {motion}, which", motion, head.heads, f"{path}.head's")
    if vae.max_frames <= 2 * vae.latents:
        raise UserError(
            f"{path}.vae.max_frames is {vae.max_frames}, and {2 * vae.latents} rows are those of its latents: take more"
        )
    if model.betas[0] > model.betas[1]:
        raise UserError(f"{path}.betas is {model.betas}; the noise rises, so the second is not below the first")
    return model


def _check_heads(what: str, width: int, heads: int, whose: str = "its") -> None:
    if width % heads:
        raise UserError(f"{what} is not a multiple of {whose} {heads} heads")


def read_layout(values: Any, path: str = "layout") -> LayoutOptions:
    """The section `layout` of a config.

    Raises:
      UserError: an option is none; says which.
    """
    return from_values(LayoutOptions, values, path)


def read_objective(loss: Any, values: Any, path: str = "objective") -> VaeObjective | LanguageObjective:
    """The section `objective` of a stage.

    Args:
      loss: the stage's loss.
      values: the section with its weights and switches.
      path: where it stands, as errors name it.

    Raises:
      UserError: MotionGPT3 has no such loss, or the loss no such weight.
    """
    if not isinstance(loss, str) or loss not in OBJECTIVES:
        raise UserError(f"MotionGPT3 has no loss {loss!r}; choose one of {', '.join(OBJECTIVES)}")
    return from_values(OBJECTIVES[loss], values, path)
