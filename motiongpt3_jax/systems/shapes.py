"""Shapes of a model's arrays, by tracing its `init`; nothing is computed."""

from typing import Any

from flax.traverse_util import flatten_dict

from motiongpt3_jax.systems.interface import ModelSpec, Variables
from motiongpt3_jax.systems.kind import SystemKind

STATE = "state/"
"""What the paths of a model's state begin with, beside those of its parameters."""


def flat_arrays(variables: Variables) -> dict[str, Any]:
    """All arrays by their paths, those of the state behind `state/`."""
    state = {STATE + name: array for name, array in flatten_dict(variables.state, sep="/").items()}
    return flatten_dict(variables.params, sep="/") | state


def array_shapes(kind: SystemKind, spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Shapes of all parameters and of the state, by their paths."""
    return {name: array.shape for name, array in flat_arrays(kind.make_system(spec).shapes).items()}
