"""Where arrays lie on a mesh: one table for parameters and optimizer state, rows for batches, hooks for activations."""

import math
import re
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

Tree = Any

ROWS = P(("data", "fsdp"))

TABLE: tuple[tuple[str, P], ...] = (
    # Layers are stacked: axis 0 is the layer, which a scan walks and nothing splits.
    (r"layers/.*/(qkv|mlp_in)/kernel", P(None, "fsdp", "tensor")),
    (r"layers/.*/(attention_out|mlp_out)/kernel", P(None, "tensor", "fsdp")),
    (r"vocabulary/.*/table", P("tensor", "fsdp")),
)
"""(pattern of a path's end, how the array is split); the first match counts. Optimizer state has the same ends."""

SMALL = 2**16
"""Arrays that the table does not name are split over `fsdp` from this many elements on."""

ACTIVATIONS: dict[str, tuple[Any, ...]] = {
    "residual": (None,),
    "mlp": ("tensor",),
    "logits": ("tensor",),
}
"""How the last axes of named activations are split; the first axis, the rows, always is."""


def path_name(path: tuple[Any, ...]) -> str:
    """A leaf's path as `decoder/layers/motion/...`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def spec(mesh: Mesh, path: str, shape: tuple[int, ...]) -> P:
    """How one array is split: by the table where its axes divide, else over `fsdp` along its longest axis that does."""
    axes = list(next((spec for pattern, spec in TABLE if re.search(rf"(^|/){pattern}$", path)), P()))[: len(shape)]
    axes += [None] * (len(shape) - len(axes))
    axes = [axis if axis and size % mesh.shape[axis] == 0 else None for axis, size in zip(axes, shape)]
    if "fsdp" not in axes and math.prod(shape) >= SMALL:
        stacked = re.search(r"(^|/)layers/", path) is not None
        free = [i for i in range(int(stacked), len(shape)) if not axes[i] and shape[i] % mesh.shape["fsdp"] == 0]
        if free:
            axes[max(free, key=lambda i: shape[i])] = "fsdp"
    return P(*axes)


def shardings(mesh: Mesh, tree: Tree) -> Tree:
    """Shardings of a tree of arrays or shapes: parameters, optimizer state, or a whole train state."""
    return jax.tree.map_with_path(lambda path, x: NamedSharding(mesh, spec(mesh, path_name(path), x.shape)), tree)


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, P())


def rows_sharding(mesh: Mesh) -> NamedSharding:
    """Rows of a batch, split over `data` and `fsdp`."""
    return NamedSharding(mesh, ROWS)


def put_batch(mesh: Mesh, batch: Tree) -> Tree:
    """A global batch on the devices, from each process's own rows (numpy, rows first).

    Raises:
      ValueError: the global rows do not divide over the mesh.
    """
    rows = len(jax.tree.leaves(batch)[0]) * jax.process_count()
    shares = mesh.shape["data"] * mesh.shape["fsdp"]
    if rows % shares:
        raise ValueError(
            f"a batch of {rows} rows does not divide over data x fsdp = {shares} devices; "
            f"choose a multiple of {shares} rows."
        )
    sharding = rows_sharding(mesh)
    if jax.process_count() == 1:  # the same result in half the time
        return jax.device_put(batch, sharding)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), batch)


def constrain(name: str, x: Float[Array, "rows ..."]) -> Float[Array, "rows ..."]:
    """Pins an activation to the mesh in use, so that weights move between devices and activations stay.

    Without a mesh, or with one device, it changes nothing.

    Args:
      name: "residual" (rows, slots, width), "mlp" (rows, slots, hidden) or "logits" (rows, slots, vocabulary).
      x: the activation.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return x
    tail = ACTIVATIONS[name]
    middle = (None,) * (x.ndim - 1 - len(tail))
    return jax.lax.with_sharding_constraint(x, P(*ROWS, *middle, *tail))
