"""MotionGPT3's official state dicts to parameters and back, by the name table."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from motiongpt3_jax.systems.motiongpt3.name_table import name_table
from motiongpt3_jax.systems.official_evaluation import drop_evaluation
from motiongpt3_jax.tensors.name_table import from_state_dict, to_state_dict

if TYPE_CHECKING:
    from motiongpt3_jax.systems.motiongpt3 import MotionGPT3Config


def from_official(state: Mapping[str, Any], config: "MotionGPT3Config", prefix: str = "") -> dict[str, Any]:
    """The parameters of an official state dict, float32.

    Args:
      state: tensors by their official names; anything that numpy can read.
      config: the model's sizes.
      prefix: take only the part of the model whose official names begin so ("vae.", "lm.language_model."), and let
        whatever else the state dict holds alone.

    Returns:
      A nested dictionary with our parameters of that part.

    Raises:
      UserError: names every missing, unexpected and wrongly shaped tensor, and tied tensors that differ.
    """
    tensors, _ = drop_evaluation({key: state[key] for key in state if key.startswith(prefix)})
    return from_state_dict(tensors, name_table(config).select(prefix))


def to_official(params: Mapping[str, Any], config: "MotionGPT3Config", prefix: str = "") -> dict[str, np.ndarray]:
    """The official state dict of our parameters, tied tensors under all of their names.

    Args:
      params: nested parameters; those that `prefix` asks for must be there.
      config: the model's sizes.
      prefix: write only the part whose official names begin so.

    Raises:
      UserError: a parameter is missing, or has another shape than the sizes say.
    """
    return to_state_dict(params, name_table(config).select(prefix))
