"""State dict conversion by a name table: where each tensor of a PyTorch checkpoint lies in a model's parameters.

One table serves both directions. PyTorch keeps layers apart (`h.3.ln_1`) where ours are stacked along a first axis, and
stores linear layers as (outputs, inputs), convolutions as (outputs, inputs, places); ours are the other way round.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.tensors.check_fit import check_fit

Entries = Iterator["Entry"]

LAYOUTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "same": (lambda x: x, lambda x: x),
    "transposed": (lambda x: x.T, lambda x: x.T),
    "without middle axis": (lambda x: x[:, 0], lambda x: x[:, None]),
}
"""How a tensor comes in and goes out."""

AXES: dict[str, Callable[[int], tuple[int, ...]]] = {
    "same": lambda axes: tuple(range(axes)),
    "transposed": lambda axes: tuple(range(axes))[::-1],
    "without middle axis": lambda axes: (0, *range(2, axes)),
}
"""Which axes of a tensor ours are, by how many it has."""


@dataclass(frozen=True)
class Entry:
    """One tensor, or a part of it.

    Attributes:
      key: name in the state dict.
      path: name of our parameter, parts joined by "/".
      shape: of the tensor.
      layout: how the two differ, one of `LAYOUTS`.
      index: place along the stacked parameter's first axis; None where nothing is stacked.
      part: what this parameter holds of the tensor; None for all of it.
      axis: of the tensor that `part` counts along.
      split: shape of our parameter (of our slice of the stack) where heads are axes of their own; None where not.
      optional: a state dict may lack it, which means zeros.
    """

    key: str
    path: str
    shape: tuple[int, ...]
    layout: str = "same"
    index: int | None = None
    part: slice | None = None
    axis: int = 0
    split: tuple[int, ...] | None = None
    optional: bool = False

    def ours(self, tensor: np.ndarray) -> np.ndarray:
        """Our parameter (or our slice of the stack) from the tensor."""
        tensor = self._in_our_layout(tensor)
        return tensor if self.split is None else tensor.reshape(self.split)

    def theirs(self, parameter: np.ndarray) -> np.ndarray:
        """The tensor (or our part of it) from our parameter."""
        parameter = parameter if self.index is None else parameter[self.index]
        if self.split is not None:
            if parameter.shape != self.split:
                raise UserError(f"{self.path} has shape {parameter.shape}; the config's sizes say {self.split}")
            # Strides of zero: a tensor of any size that takes no memory.
            parameter = parameter.reshape(self._in_our_layout(np.broadcast_to(np.float32(0), self.shape)).shape)
        return LAYOUTS[self.layout][1](parameter)

    @property
    def our_shape(self) -> tuple[int, ...]:
        """Shape of our parameter (or of our slice of the stack)."""
        return (
            self._in_our_layout(np.broadcast_to(np.float32(0), self.shape)).shape if self.split is None else self.split
        )

    def read(self, tensor: Any, index: tuple[slice, ...]) -> np.ndarray:
        """A part of our parameter (or of our slice of the stack); of the tensor as little is read as holds it.

        Args:
          tensor: takes a slice for each axis, see `stored_tensors.Slices`.
          index: a slice for each of our axes.
        """
        first = 0 if self.part is None else self.part.start or 0
        axes, inner = AXES[self.layout](len(self.shape)), []
        chosen, shape = [slice(0, 1)] * len(self.shape), []
        for axis, group in zip(axes, self._split_axes()):
            # Ours are several where heads are axes of their own; the first of them counts blocks of the others.
            outer, *others = (self.our_shape[number] for number in group)
            begin, end, _ = index[group[0]].indices(outer)
            block, offset = math.prod(others), first if axis == self.axis else 0
            chosen[axis] = slice(offset + begin * block, offset + end * block)
            shape += [end - begin, *others]
            inner += [slice(None), *(index[number] for number in group[1:])]
        return LAYOUTS[self.layout][0](tensor[tuple(chosen)]).reshape(shape)[tuple(inner)]

    def _split_axes(self) -> list[tuple[int, ...]]:
        """Our axes that each axis of the tensor is split into, in our order."""
        groups, number = [], 0
        for size in self._in_our_layout(np.broadcast_to(np.float32(0), self.shape)).shape:
            group = [number]
            while math.prod(self.our_shape[axis] for axis in group) < size:
                group.append(group[-1] + 1)
            groups.append(tuple(group))
            number = group[-1] + 1
        return groups

    def _in_our_layout(self, tensor: np.ndarray) -> np.ndarray:
        if self.part is not None:
            tensor = tensor[(slice(None),) * self.axis + (self.part,)]
        return LAYOUTS[self.layout][0](tensor)


@dataclass(frozen=True)
class NameTable:
    """The names of a model's tensors.

    Attributes:
      entries: every tensor, each of our parameters exactly once.
      tied: names that repeat another tensor, and that tensor's name.
    """

    entries: tuple[Entry, ...]
    tied: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of a complete state dict, tied names included."""
        shapes = {entry.key: entry.shape for entry in self.entries}
        return shapes | {copy: shapes[key] for copy, key in self.tied.items()}

    @property
    def needed(self) -> set[str]:
        """Names without which there is no model."""
        return {entry.key for entry in self.entries if not entry.optional}

    def select(self, prefix: str) -> "NameTable":
        """The part of the model whose names begin so.

        Raises:
          UserError: there is none.
        """
        entries = tuple(entry for entry in self.entries if entry.key.startswith(prefix))
        keys = {entry.key for entry in entries}
        if not keys:
            parts = sorted({f"{entry.key.partition('.')[0]}." for entry in self.entries})
            raise UserError(
                f"no official name begins with {prefix!r}; parts are {', '.join(parts)} and what lies below"
            )
        tied = {copy: key for copy, key in self.tied.items() if copy.startswith(prefix) and key in keys}
        return NameTable(entries, tied)

    def with_prefix(self, prefix: str) -> "NameTable":
        """The same tensors under longer names."""
        entries = tuple(replace(entry, key=prefix + entry.key) for entry in self.entries)
        return NameTable(entries, {prefix + copy: prefix + key for copy, key in self.tied.items()})


def at_layer(index: int, entries: Iterable[Entry]) -> Entries:
    """The same entries at a place of a stack."""
    return (replace(entry, index=index) for entry in entries)


def from_state_dict(state: Mapping[str, Any], table: NameTable) -> dict[str, Any]:
    """Nested parameters, float32, of a state dict.

    Args:
      state: tensors by their names; anything that numpy can read.
      table: names and shapes that they must have.

    Raises:
      UserError: names every missing, unexpected and wrongly shaped tensor, and tied tensors that differ.
    """
    check_fit({key: tuple(tensor.shape) for key, tensor in state.items()}, table.shapes, table.needed)
    for copy, key in table.tied.items():
        if copy in state and not np.array_equal(np.asarray(state[copy]), np.asarray(state[key])):
            raise UserError(f"{copy} differs from {key}; the model shares one table, so they must be equal")
    stacks: dict[str, dict[int | None, np.ndarray]] = {}
    for entry in table.entries:
        tensor = np.asarray(state[entry.key], np.float32) if entry.key in state else np.zeros(entry.shape, np.float32)
        stacks.setdefault(entry.path, {})[entry.index] = entry.ours(tensor)
    params: dict[str, Any] = {}
    for path, slices in stacks.items():
        *parents, name = path.split("/")
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = slices[None] if None in slices else np.stack([slices[index] for index in range(len(slices))])
    return params


def to_state_dict(params: Mapping[str, Any], table: NameTable) -> dict[str, np.ndarray]:
    """The state dict of nested parameters, tied tensors under all of their names.

    Raises:
      UserError: a parameter is missing, or has another shape than the table says.
    """
    parts: dict[str, list[np.ndarray]] = {}
    axes: dict[str, int] = {}
    for entry in table.entries:
        parts.setdefault(entry.key, []).append(entry.theirs(_leaf(params, entry.path)))
        axes[entry.key] = entry.axis
    state = {key: pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axes[key]) for key, pieces in parts.items()}
    for key, tensor in state.items():
        if tensor.shape != table.shapes[key]:
            raise UserError(f"{key} would have shape {tensor.shape}; the config's sizes say {table.shapes[key]}")
    state = {key: np.ascontiguousarray(tensor) for key, tensor in state.items()}
    return state | {copy: state[key] for copy, key in table.tied.items()}


def _leaf(params: Mapping[str, Any], path: str) -> np.ndarray:
    node: Any = params
    for part in path.split("/"):
        if part not in node:
            raise UserError(f"the parameters have no {path!r}: {part!r} is missing; is this another system's model?")
        node = node[part]
    return np.asarray(node)
