"""A model's sizes from the shapes of its tensors."""

import re
from collections.abc import Iterable, Mapping

from motiongpt3_jax.errors import UserError

Shapes = Mapping[str, tuple[int, ...]]


def count_layers(names: Iterable[str], pattern: str) -> int:
    """How many different numbers there are where the pattern has its group."""
    return len({int(match[1]) for match in map(re.compile(pattern).match, names) if match})


def shape_of(shapes: Shapes, name: str, axes: int) -> tuple[int, ...]:
    """The shape of a tensor that tells sizes.

    Raises:
      UserError: it is missing, is empty, or has another number of axes.
    """
    if len(shapes.get(name, ())) != axes:
        what = f"has shape {shapes[name]}, expected {axes} axes" if name in shapes else "is missing"
        raise UserError(f"the sizes of the model cannot be told: {name} {what}")
    if 0 in shapes[name]:
        raise UserError(f"the sizes of the model cannot be told: {name} is empty, its shape is {shapes[name]}")
    return shapes[name]
