"""Sharded `device_put` onto a mesh of arrays of this host and of files, so that no device holds more than its part."""

from collections.abc import Callable, Mapping

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh, PartitionSpec, Sharding
from jax.typing import DTypeLike
from jaxtyping import Array

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.parallel import ShardingOptions, shardings, whole_parts
from motiongpt3_jax.parallel.sharding import Rules, path_name
from motiongpt3_jax.systems.interface import System, Tree, Variables
from motiongpt3_jax.tensors.stored_tensors import StoredParameter

Upgrade = Callable[[int, Tree], Tree]
"""(format, tree of a checkpoint of that older format) -> the same arrays under the paths and in the shapes of today."""


def no_upgrade(format: int, tree: Tree) -> Tree:
    """The upgrade of a system whose parameters never changed their paths."""
    del format
    return tree


def with_shardings(mesh: Mesh, shapes: Tree, rules: Rules) -> Tree:
    """Shapes with the shardings that they have on a mesh, by a system's sharding rules."""
    return jax.tree.map(
        lambda x, at: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=at), shapes, shardings(mesh, shapes, rules)
    )


def variables_shardings(mesh: Mesh, system: System, variables: Variables, options: ShardingOptions) -> Variables:
    """Shapes of a system's variables with the shardings that they have on a mesh."""
    return with_shardings(mesh, variables, rules_of(system, variables, options))


def rules_of(system: System, variables: Variables, options: ShardingOptions) -> Rules:
    """Sharding rules of a system: small parts whole, and what moves without gradients; the others by its own rules."""
    state = ("state/.*", PartitionSpec())
    return (state, *whole_parts(variables.params, options.whole_below), *system.sharding_rules)


def put_stored(stored: StoredParameter, dtype: DTypeLike, at: Sharding) -> jax.Array:
    """Sharded read of a parameter from a checkpoint's files: a device's part is read and put before the next one's.

    Unlike `jax.make_array_from_callback`, which holds the parts of all devices in this host's memory first.
    """
    devices: dict[tuple[tuple[int, int], ...], list[jax.Device]] = {}
    for device, index in at.addressable_devices_indices_map(stored.shape).items():
        part = tuple(each.indices(size)[:2] for each, size in zip(index, stored.shape))
        devices.setdefault(part, []).append(device)
    shards: list[jax.Array] = []
    for part, some in devices.items():
        host = stored.read(tuple(slice(*ends) for ends in part), dtype)
        shards += jax.block_until_ready([jax.device_put(host, device) for device in some])
    return jax.make_array_from_single_device_arrays(stored.shape, at, shards)


def put_array(array: np.ndarray | jax.Array, at: Sharding | None) -> jax.Array | np.ndarray:
    """`jax.device_put` of one array: of an array of this host, each device gets its part alone."""
    if at is None:
        return array
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        return jax.device_put(array, at)
    host = np.asarray(array)
    if at.is_fully_addressable:
        return jax.device_put(host, at)
    return jax.make_array_from_callback(host.shape, at, lambda index: host[index])


def put_like(like: Tree, tree: Tree, where: str) -> Tree:
    """`jax.device_put` of a tree with the structure, dtypes and shardings of another, matched by path.

    Args:
      like: shapes, with shardings for what goes to devices.
      tree: nested dictionaries and lists with at least these paths, as Orbax gives them for any kind of tree: of arrays
        of this host, or of parameters in files, which are then read.
      where: what holds them, as errors name it.

    Raises:
      UserError: a path is missing, or its array has another shape.
    """
    flat = {path_name(path): x for path, x in jax.tree.leaves_with_path(tree)}

    def place(path: tuple[object, ...], x: jax.ShapeDtypeStruct) -> jax.Array | np.ndarray:
        array = flat.get(path_name(path))
        if array is None or array.shape != x.shape:
            there = "is missing there" if array is None else f"has shape {array.shape} there and {x.shape} here"
            raise UserError(
                f"{where} does not fit the model: {path_name(path)} {there}; continue with the settings that the run "
                "began with, or start a new run directory."
            )
        if isinstance(array, StoredParameter):
            return np.asarray(array, x.dtype) if x.sharding is None else put_stored(array, x.dtype, x.sharding)
        return put_array(array if array.dtype == x.dtype else array.astype(x.dtype), x.sharding)

    return jax.tree.map_with_path(place, like)


def cast_like(like: Tree, params: Tree) -> Tree:
    """Parameters in the dtypes and at the shardings of `like`; arrays that are so already are not copied."""
    flat = flatten_dict(params)

    def differs(path: tuple[str, ...], wanted: jax.ShapeDtypeStruct) -> bool:
        x = flat[path]
        same = isinstance(x, jax.Array) and x.dtype == wanted.dtype
        return not (same and x.sharding.is_equivalent_to(wanted.sharding, x.ndim))

    left = {path: wanted for path, wanted in flatten_dict(like).items() if differs(path, wanted)}
    if not left:
        return params

    def convert(some: Mapping[tuple[str, ...], Array]) -> dict[tuple[str, ...], Array]:
        return {path: x.astype(left[path].dtype) for path, x in some.items()}

    at = {path: wanted.sharding for path, wanted in left.items()}
    return unflatten_dict({**flat, **jax.jit(convert, out_shardings=at)({path: flat[path] for path in left})})
