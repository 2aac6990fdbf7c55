"""MotionGPT's official state dicts to variables and back, by the name table."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motion_codes.config import CodeModelConfig
from motiongpt3_jax.systems.motion_codes.vqvae_names import codebook_of
from motiongpt3_jax.systems.motiongpt.name_table import name_table
from motiongpt3_jax.tensors.name_table import from_state_dict, to_state_dict


def from_official(state: Mapping[str, Any], config: CodeModelConfig, prefix: str = "") -> Variables:
    """The variables of an official state dict, float32.

    The official code saves the vectors of the codes, not the moving averages behind them: the codebook goes on as if
    each code had replaced its own vector once.

    Args:
      state: tensors by their official names; anything that numpy can read.
      config: the model's sizes.
      prefix: take only the part of the model whose official names begin so ("vae.", "lm."), and let whatever else the
        state dict holds alone.

    Raises:
      UserError: names every missing, unexpected and wrongly shaped tensor, and tied tensors that differ.
    """
    tensors = {key: state[key] for key in state if key.startswith(prefix)}
    params = from_state_dict(tensors, name_table(config).select(prefix))
    saved = params.pop("state", {})
    return Variables(params, {"codebook": codebook_of(saved["codebook"]["table"])} if saved else {})


def to_official(variables: Variables, config: CodeModelConfig, prefix: str = "") -> dict[str, np.ndarray]:
    """The official state dict of our variables, tied tensors under all of their names.

    Args:
      variables: those that `prefix` asks for must be there.
      config: the model's sizes.
      prefix: write only the part whose official names begin so.

    Raises:
      UserError: an array is missing, or has another shape than the sizes say.
    """
    arrays = {**variables.params, "state": variables.state}
    return to_state_dict(arrays, name_table(config).select(prefix))
