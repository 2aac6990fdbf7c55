"""Where arrays lie on a mesh: rules for parameters and optimizer state, rows for batches."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from motiongpt3_jax.errors import UserError

Tree = Any

ROWS = P(("data", "fsdp"))

Rules = Sequence[tuple[str, P]]
"""(pattern of a path's end, how the array is split); the first match counts. Optimizer state has the same ends.

What is split by nothing at all, `P()`, lies whole on every device.
"""

SMALL = 2**16
"""Arrays that no rule names are split over `fsdp` from this many elements on."""


@dataclass(frozen=True)
class ShardingOptions:
    """How a mesh is used.

    Attributes:
      whole_below: parts of a model, as a VAE, with fewer parameters than this lie whole on every device: to gather them
        would take longer than it spares memory.
      reduce_dtype: in which gradients are summed over devices; "compute" is that of the computation.
    """

    whole_below: int
    reduce_dtype: Literal["compute", "float32", "bfloat16"]


SHARDING = ShardingOptions(whole_below=2**25, reduce_dtype="compute")
"""How a mesh is used where nothing else is said; also the default of configs."""


def whole_parts(params: Mapping[str, Tree], whole_below: int) -> Rules:
    """Rules that leave small parts of a model's parameters whole, the first names of paths.

    Args:
      params: all parameters of the model, or their shapes.
      whole_below: from how many parameters on a part is split.
    """
    sizes = {name: sum(math.prod(x.shape) for x in jax.tree.leaves(part)) for name, part in params.items()}
    ends = {name: "/.*" if isinstance(params[name], Mapping) else "" for name in sizes}
    return [(re.escape(name) + ends[name], P()) for name, size in sizes.items() if size < whole_below]


def path_name(path: tuple[Any, ...]) -> str:
    """A leaf's path as `decoder/layers/motion/...`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def spec(mesh: Mesh, path: str, shape: tuple[int, ...], rules: Rules = ()) -> P:
    """How one array is split: by the rules where its axes divide, else over `fsdp` along its longest axis that does."""
    rule = next((spec for pattern, spec in rules if re.search(rf"(^|/){pattern}$", path)), None)
    if rule == P():
        return P(*[None] * len(shape))
    axes = list(rule or P())[: len(shape)]
    axes += [None] * (len(shape) - len(axes))
    axes = [axis if axis and size % _devices(mesh, axis) == 0 else None for axis, size in zip(axes, shape)]
    if not any("fsdp" in _names(axis) for axis in axes) and math.prod(shape) >= SMALL:
        stacked = re.search(r"(^|/)layers/", path) is not None
        free = [i for i in range(int(stacked), len(shape)) if not axes[i] and shape[i] % mesh.shape["fsdp"] == 0]
        if free:
            axes[max(free, key=lambda i: shape[i])] = "fsdp"
    return P(*axes)


def _names(axis: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The mesh axes over which one axis of an array is split."""
    return axis if isinstance(axis, tuple) else (axis,) if axis else ()


def _devices(mesh: Mesh, axis: str | tuple[str, ...]) -> int:
    return math.prod(mesh.shape[name] for name in _names(axis))


def shardings(mesh: Mesh, tree: Tree, rules: Rules = ()) -> Tree:
    """Shardings of a tree of arrays or shapes: parameters, optimizer state, or a whole train state."""

    def sharding(path: tuple[Any, ...], x: Any) -> NamedSharding:
        return NamedSharding(mesh, spec(mesh, path_name(path), x.shape, rules))

    return jax.tree.map_with_path(sharding, tree)


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, P())


def rows_sharding(mesh: Mesh) -> NamedSharding:
    """Rows of a batch, split over `data` and `fsdp`."""
    return NamedSharding(mesh, ROWS)


def row_shards(axes: Mapping[str, int]) -> int:
    """How many parts the rows of a batch are split into, on a mesh with axes of these sizes."""
    return axes["data"] * axes["fsdp"]


def local_rows(mesh: Mesh, rows: int) -> list[int]:
    """The rows of a global batch that this process's devices hold, rising: those that it has to load.

    Where the axis `tensor` crosses processes, several of them hold the same rows; on a torus of devices they need not
    be one interval.

    Raises:
      UserError: the global rows do not divide over the mesh.
    """
    shards = row_shards(mesh.shape)
    if rows % shards:
        raise UserError(
            f"a batch of {rows} rows does not divide over data x fsdp = {shards} devices; "
            f"choose a multiple of {shards} rows."
        )
    parts = rows_sharding(mesh).addressable_devices_indices_map((rows,)).values()
    return sorted({row for (part,) in parts for row in range(*part.indices(rows))})


def put_batch(mesh: Mesh, batch: Tree, rows: int | None = None) -> Tree:
    """A global batch on the devices, from this process's rows (numpy, rows first).

    Args:
      mesh: the devices.
      batch: the rows of `local_rows(mesh, rows)`, in that order.
      rows: rows of the global batch; not given, `batch` has them all.

    Raises:
      UserError: the global rows do not divide over the mesh, or the batch has others than this process's devices hold.
    """
    given = len(jax.tree.leaves(batch)[0])
    rows = given if rows is None else rows
    here = local_rows(mesh, rows)
    if given != len(here):
        raise UserError(
            f"process {jax.process_index()} has {given} rows of a batch of {rows}, and its devices hold {len(here)}; "
            "load the rows that `local_rows` names."
        )
    sharding = rows_sharding(mesh)
    if jax.process_count() == 1:  # the same result in half the time
        return jax.device_put(batch, sharding)
    return jax.tree.map(lambda x: _global_array(sharding, x, here, rows), batch)


def _global_array(sharding: NamedSharding, local: np.ndarray, here: Sequence[int], rows: int) -> jax.Array:
    """A global array from this process's rows: each device takes those that the sharding gives it."""

    def part(index: tuple[slice, ...]) -> np.ndarray:
        first, stop, _ = index[0].indices(rows)
        start = here.index(first)
        return local[start : start + stop - first]

    return jax.make_array_from_callback((rows, *local.shape[1:]), sharding, part)
