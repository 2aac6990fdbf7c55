"""Validation of the sections of a config that are MotionGPT's: sizes, layout, objectives."""

from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.adapters import read_adapters
from motiongpt3_jax.systems.motiongpt.config import LanguageObjective, TokenizerObjective
from motiongpt3_jax.systems.motiongpt.drafts import LayoutOptions
from motiongpt3_jax.systems.motiongpt.sections import ModelSection
from motiongpt3_jax.values import from_values

OBJECTIVES = {"tokenizer": TokenizerObjective, "language": LanguageObjective}
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
    positions = model.language.max_positions
    if model.lm == "t5" and positions is not None:
        raise UserError(f"{path}.language.max_positions is {positions}; a T5's positions are relative: set it to None")
    if model.lm == "gpt2" and positions is None:
        raise UserError(
            f"{path}.language.max_positions is None; a decoder alone has a table of positions: give its rows"
        )
    return model


def read_layout(values: Any, path: str = "layout") -> LayoutOptions:
    """The section `layout` of a config.

    Raises:
      UserError: an option is none; says which.
    """
    return from_values(LayoutOptions, values, path)


def read_objective(loss: Any, values: Any, path: str = "objective") -> TokenizerObjective | LanguageObjective:
    """The section `objective` of a stage.

    Args:
      loss: the stage's loss.
      values: the section with its weights and switches.
      path: where it stands, as errors name it.

    Raises:
      UserError: MotionGPT has no such loss, or the loss no such weight.
    """
    if not isinstance(loss, str) or loss not in OBJECTIVES:
        raise UserError(f"MotionGPT has no loss {loss!r}; choose one of {', '.join(OBJECTIVES)}")
    return from_values(OBJECTIVES[loss], values, path)


def check_positions(model: ModelSection, layout: LayoutOptions, path: str) -> None:
    """Raises UserError when sequences may be longer than a decoder's table of positions."""
    most = model.language.max_positions
    if most is not None and layout.max_length > most:
        raise UserError(
            f"{path}.layout.max_length is {layout.max_length}, and {path}.model.language.max_positions {most}: take a "
            "shorter one, or more positions"
        )
