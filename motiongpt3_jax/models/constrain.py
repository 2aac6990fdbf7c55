"""Sharding constraints as models see them: functions of names and arrays, which a mesh provides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Array


class Constrain(Protocol):
    """Where a mesh may pin an array, by its name.

    Results of products, (rows, ..., features): "mlp", "heads" and "logits" have features that a mesh may split; those
    of "activation" lie together, and so do those of "joined", which is summed over split inputs, and of "low_rank",
    which is what an adapter computes. Before a product "mlp/kernel" and "mlp/bias" are the parameters that make "mlp",
    and so on; "mlp/kernel/gradient" is the gradient of one, which devices sum. "positions" is a table of which every
    row of a batch reads the same. "copies" is a table (1, ids, width), of which each device may get a copy, (devices,
    ids, width). "summed" is what a product multiplies to the gradient of parameters, which
    devices then sum: in the dtype of those sums. "attention" is (rows, heads, slots, width), with heads that a mesh may
    split.
    """

    def __call__(self, name: str, x: Array) -> Array:
        """The array, pinned."""

    def per_device(self, function: Callable[..., Array], names: Sequence[str], result: str) -> Callable[..., Array]:
        """A function of which each device computes its own part, as a kernel must that no compiler can split.

        Args:
          function: of arrays, any rows and heads of which are computed alike.
          names: of those arrays.
          result: the name of its result, which has the first array's shape.
        """


@dataclass(frozen=True)
class Unconstrained:
    """Leaves arrays alone."""

    def __call__(self, name: str, x: Array) -> Array:
        """The array."""
        del name
        return x

    def per_device(self, function: Callable[..., Array], names: Sequence[str], result: str) -> Callable[..., Array]:
        """The function."""
        del names, result
        return function


unconstrained = Unconstrained()
