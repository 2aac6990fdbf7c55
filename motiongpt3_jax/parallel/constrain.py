"""Sharding constraints inside of a model: weights are gathered where they are used, and activations stay."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
    "attention": 1,
}
"""The axis of a named array that `tensor` splits where it divides it; nothing but rows splits any other."""

FSDP_AXIS: Mapping[str, int] = {"mlp/kernel": 0, "heads/kernel": 0, "joined/kernel": -1}
"""The axis of a kernel that `fsdp` splits where it is stored, as `models.sharding_rules` has it; others lie whole."""

GRADIENT = "/gradient"
"""Behind the name of a parameter: its gradient."""

WITHOUT_ROWS = re.compile(r".*/(kernel|bias)|positions")
"""Names of arrays that have no rows."""


@dataclass(frozen=True)
class MeshConstrain:
    """Pins arrays to the mesh in use, so that weights move between devices and activations stay.

    Without a mesh, or with one device, it changes nothing. Rows that do not divide over the devices are on each.

    Attributes:
      summed: the dtype in which devices sum gradients; that of the computation when None.
    """

    summed: str | None = None

    def __call__(self, name: str, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The array, pinned as `models.constrain` says of its name."""
        mesh = jax.sharding.get_abstract_mesh()
        if mesh.empty or mesh.size == 1:
            return x
        if name == "summed":
            return x if self.summed is None else x.astype(self.summed)
        if name == "copies":
            x = jnp.broadcast_to(x, (row_shards(mesh.shape), *x.shape[1:]))
            return jax.lax.with_sharding_constraint(x, _spec(mesh, x.shape, 1, ROWS[0]))
        if name.endswith(GRADIENT):
            return jax.lax.with_sharding_constraint(x, _gradient_spec(mesh, name.removesuffix(GRADIENT), x.shape))
        return jax.lax.with_sharding_constraint(x, _spec_of(mesh, name, x.shape))

    def per_device(self, function: Callable[..., Array], names: Sequence[str], result: str) -> Callable[..., Array]:
        """The function under `jax.shard_map`."""

        def mapped(*arrays: Array) -> Array:
            mesh = jax.sharding.get_abstract_mesh()
            if mesh.empty or mesh.size == 1:
                return function(*arrays)
            specs = tuple(_spec_of(mesh, name, x.shape) for name, x in zip(names, arrays, strict=True))
            of_result = _spec_of(mesh, result, arrays[0].shape)
            # Kernels do not say over which axes their results vary.
            return jax.shard_map(function, in_specs=specs, out_specs=of_result, check_vma=False)(*arrays)

        return mapped


constrain = MeshConstrain()


def make_constrain(options: ShardingOptions) -> MeshConstrain:
    """The hook by which models pin arrays to the mesh in use."""
    return constrain if options.reduce_dtype == "compute" else MeshConstrain(options.reduce_dtype)


def _gradient_spec(mesh: AbstractMesh, name: str, shape: tuple[int, ...]) -> P:
    """How the gradient of a parameter is split: as that is stored, so that what sums it scatters it as well."""
    whole, axis = _spec(mesh, shape, TENSOR_AXIS.get(name)), FSDP_AXIS.get(name)
    if axis is None or shape[axis] % mesh.shape["fsdp"]:
        return whole
    axes = list(whole)
    axes[axis] = "fsdp"
    return P(*axes)


def _spec_of(mesh: AbstractMesh, name: str, shape: tuple[int, ...]) -> P:
    """How an array of a name is split."""
    everywhere = WITHOUT_ROWS.fullmatch(name) or shape[0] % row_shards(mesh.shape)
    return _spec(mesh, shape, TENSOR_AXIS.get(name), None if everywhere else ROWS[0])


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
