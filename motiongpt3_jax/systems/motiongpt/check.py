"""Validation of the section `model` of a config as MotionGPT has it."""

from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.adapters import read_adapters
from motiongpt3_jax.systems.motiongpt.sections import ModelSection
from motiongpt3_jax.values import from_values


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
