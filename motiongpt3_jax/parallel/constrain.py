"""Sharding constraints inside of a model: weights are gathered where they are used, and activations stay."""

import re
from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from motiongpt3_jax.parallel.sharding import ROWS, ShardingOptions, row_shards

TENSOR_AXIS: Mapping[str, int] = {
    "mlp": -1,
    "heads": -1,
    "logits": -1,
    "mlp/kernel": -1,
    "mlp/bias": -1,
    "heads/kernel": -1,
    "heads/bias": -1,
    "joined/kernel": 0,
}
"""The axis of a named array that `tensor` splits where it divides it; nothing but rows splits any other."""

WITHOUT_ROWS = re.compile(r".*/(kernel|bias)|positions")
"""Names of arrays that have no rows."""


def make_constrain(options: ShardingOptions) -> Callable[[str, Array], Array]:
    """The hook by which models pin arrays to the mesh in use."""
    return constrain if options.reduce_dtype == "compute" else partial(constrain, summed=options.reduce_dtype)


def constrain(name: str, x: Float[Array, "..."], summed: str | None = None) -> Float[Array, "..."]:
    """Pins an array to the mesh in use, so that weights move between devices and activations stay.

    Without a mesh, or with one device, it changes nothing. Rows that do not divide over the devices are on each.

    Args:
      name: what the array is, as `models.constrain` lists it.
      x: the array.
      summed: the dtype in which devices sum gradients; that of the computation when not given.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return x
    if name == "summed":
        return x if summed is None else x.astype(summed)
    if name == "copies":
        x = jnp.broadcast_to(x, (row_shards(mesh.shape), *x.shape[1:]))
        return jax.lax.with_sharding_constraint(x, _spec(mesh, x.shape, 1, ROWS[0]))
    everywhere = WITHOUT_ROWS.fullmatch(name) or len(x) % row_shards(mesh.shape)
    spec = _spec(mesh, x.shape, TENSOR_AXIS.get(name), None if everywhere else ROWS[0])
    return jax.lax.with_sharding_constraint(x, spec)


def _spec(
    mesh: AbstractMesh,
    shape: tuple[int, ...],
    split: int | None,
    first: tuple[str, ...] | None = None,
) -> P:
    """The first axis over some axes of a mesh, another one over `tensor` where that divides it, the others whole."""
    axes = [first, *[None] * (len(shape) - 1)]
    if split is not None and shape[split] % mesh.shape["tensor"] == 0:
        axes[split] = "tensor"
    return P(*axes)
