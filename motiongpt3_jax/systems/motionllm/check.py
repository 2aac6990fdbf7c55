"""Validation of the section `model` of a config as MotionLLM has it."""

from typing import Any

from motiongpt3_jax.systems.adapters import read_adapters
from motiongpt3_jax.systems.language_models import check_blocks
from motiongpt3_jax.systems.motionllm.sections import ModelSection, PairsSection
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
    check_blocks(f"{path}.language", model.language)
    read_adapters(model.lora, f"{path}.lora")
    return model


def read_pairs(values: Any, path: str = "pairs") -> PairsSection:
    """The section `pairs` of a config.

    Raises:
      UserError: a value is none; says which.
    """
    return from_values(PairsSection, values, path)
