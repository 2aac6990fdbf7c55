"""The mesh that a model answers on: devices of one process, over which parameters and requests are split."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.folder import ModelFolder
from motiongpt3_jax.parallel import SHARDING, make_mesh
from motiongpt3_jax.parallel.checks import check_divides
from motiongpt3_jax.parallel.mesh import AXES
from motiongpt3_jax.systems.interface import System, Variables
from motiongpt3_jax.tensors.stored_tensors import StoredParameter
from motiongpt3_jax.training.arrays import put_like, variables_shardings
from motiongpt3_jax.training.partition import cast


def open_mesh(mesh: Mesh | Mapping[str, int] | None, folder: ModelFolder) -> Mesh | None:
    """The mesh of the devices that a model answers on.

    Args:
      mesh: the mesh itself, or the number of devices along some of its axes: data, fsdp, tensor; others are 1. Where
        there are more devices, they are left alone. None for one device.
      folder: the model's.

    Raises:
      UserError: there is no such axis, there are fewer devices, or the heads do not divide over them.
    """
    if mesh is None:
        return None
    if jax.process_count() > 1:
        raise UserError("a model answers in one process, on the devices of that process; there are several")
    if not isinstance(mesh, Mesh):
        unknown = [name for name in mesh if name not in AXES]
        if unknown:
            raise UserError(f"a mesh has no axis {unknown[0]!r}; its axes are {', '.join(AXES)}")
        axes = [mesh.get(name, 1) for name in AXES]
        mesh = _make_mesh(axes)
    check_divides(mesh.shape, {}, folder.kind.heads(folder.config["model"]))
    return mesh


def _make_mesh(axes: list[int]) -> Mesh:
    count = math.prod(axes)
    if min(axes) < 1 or count > jax.device_count():
        shown = " x ".join(f"{name} {size}" for name, size in zip(AXES, axes))
        raise UserError(f"the mesh {shown} takes {count} devices, and there are {jax.device_count()}: take fewer")
    return make_mesh(*axes, devices=jax.devices()[:count])


def on_mesh(mesh: Mesh | None) -> AbstractContextManager[Any]:
    """Within, programs are compiled for the mesh."""
    return nullcontext() if mesh is None else jax.set_mesh(mesh)


def put_variables(mesh: Mesh | None, system: System, variables: Variables, where: str) -> Variables:
    """Sharded `device_put` of a model's variables, a frozen base in the dtype in which training holds it.

    Parameters in files are read straight to their devices. On one device the others stay arrays of this host, of which
    preparing them for decode steps copies none.

    Args:
      mesh: the devices; None for one.
      system: the model's.
      variables: arrays of this host, and parameters in files.
      where: what holds them, as errors name it.
    """
    shapes = system.shapes.replace(params=jax.eval_shape(partial(cast, dtypes=system.dtypes), system.shapes.params))
    if mesh is not None:
        return put_like(variables_shardings(mesh, system, shapes, SHARDING), variables, where)
    here = jnp.zeros(()).sharding

    def place(x: jax.ShapeDtypeStruct, array: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here if isinstance(array, StoredParameter) else None)

    return put_like(jax.tree.map(place, shapes, variables), variables, where)
