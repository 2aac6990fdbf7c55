"""Weights of MotionGPTs as the official code has them."""

from typing import Any

import jax
import numpy as np

from motiongpt3_jax.tensors.name_table import NameTable
from tests.golden import MOTIONGPT


def fill_state(table: NameTable) -> dict[str, np.ndarray]:
    """A state dict with filler weights, copies included."""
    state = {key: MOTIONGPT.fill(key, shape) for key, shape in table.shapes.items() if key not in table.tied}
    return state | {copy: state[key] for copy, key in table.tied.items()}


def random_arrays(shapes: Any, seed: int = 0, scale: float = 0.3) -> Any:
    """Random numbers for all arrays, true for all truth values."""
    rng = np.random.default_rng(seed)

    def fill(x: Any) -> np.ndarray:
        return np.ones(x.shape, bool) if x.dtype == bool else rng.normal(size=x.shape, scale=scale).astype(np.float32)

    return jax.tree.map(fill, shapes)
