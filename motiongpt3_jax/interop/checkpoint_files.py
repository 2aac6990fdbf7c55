"""Files of tensors: PyTorch checkpoints and safetensors."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np


def write_checkpoint(path: Path, state: Mapping[str, np.ndarray]) -> None:
    """Writes a state dict as the official code loads it; arrays that are one become one tensor under several names.

    Raises:
      ValueError: PyTorch is not installed.
    """
    torch = import_torch()
    tensors = {id(array): torch.from_numpy(array) for array in state.values()}
    fresh = path.with_name(path.name + ".new")
    torch.save({"state_dict": {name: tensors[id(array)] for name, array in state.items()}}, fresh)
    os.replace(fresh, path)


def import_torch() -> ModuleType:
    """PyTorch, which is an extra.

    Raises:
      ValueError: it is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError:
        raise ValueError(
            "PyTorch checkpoints are written by PyTorch, which is not installed: pip install 'motiongpt3_jax[torch]'"
        ) from None
    return torch
