"""Sharding constraints as models see them: a function of names and arrays, which a mesh provides."""

from collections.abc import Callable

from jaxtyping import Array

Constrain = Callable[[str, Array], Array]
"""Where a mesh may pin an array, by its name.

Results of products, (rows, ..., features): "mlp", "heads" and "logits" have features that a mesh may split; those of
"activation" lie together, and so do those of "joined", which is summed over split inputs. Before a product, and after
that of its gradient, "mlp/kernel" and "mlp/bias" are the parameters that make "mlp", and so on. "positions" is a table
of which every row of a batch reads the same. "copies" is a table (1, ids, width), of which each device may get a copy,
(devices, ids, width). "summed" is what a product multiplies to the gradient of parameters, which devices then sum: in
the dtype of those sums.
"""


def unconstrained(name: str, x: Array) -> Array:
    """Leaves an array alone."""
    del name
    return x
