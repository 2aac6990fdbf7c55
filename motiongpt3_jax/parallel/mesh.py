"""The three mesh axes: `data` and `fsdp` split a batch's rows, `fsdp` and `tensor` split parameters."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AbstractMesh, AxisType, Mesh

from motiongpt3_jax.errors import UserError

AXES = ("data", "fsdp", "tensor")


def make_mesh(
    data: int | None = None, fsdp: int = 1, tensor: int = 1, *, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """A mesh over all devices.

    Args:
      data: devices along `data`; all that the other axes leave when not given.
      fsdp: devices along `fsdp`, which splits rows and parameters.
      tensor: devices along `tensor`, which splits parameters and hidden layers.
      devices: the devices to use; all of every process when not given.

    Raises:
      UserError: the axes do not multiply to the number of devices; TPU slices do not divide `data`.
    """
    devices = jax.devices() if devices is None else devices
    shape = _sizes(len(devices), data, fsdp, tensor)
    return Mesh(_arrange(shape, devices), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def _arrange(shape: tuple[int, int, int], devices: Sequence[jax.Device]) -> np.ndarray:
    """The devices in an array of this shape, those that exchange most beside each other.

    Hosts of GPUs and of CPUs are slices as well to JAX, and any axis may cross them. What is between TPU slices is a
    network as slow as that between hosts, for chips that are faster: `data` alone crosses it.
    """
    slices = defaultdict(list)
    for device in devices:
        slices[getattr(device, "slice_index", 0) if device.platform == "tpu" else 0].append(device)
    check_slices(shape, len(slices))
    data, *inner = shape
    within = (data // len(slices), *inner)
    parts = [
        mesh_utils.create_device_mesh(within, part, allow_split_physical_axes=True)
        for _, part in sorted(slices.items())
    ]
    return np.concatenate(parts)


def check_slices(shape: Sequence[int], slices: int) -> None:
    """Raises UserError when an axis other than `data` of a mesh of this shape crosses TPU slices."""
    if shape[0] % slices:
        shown = " x ".join(f"{name} {size}" for name, size in zip(AXES, shape))
        raise UserError(
            f"mesh {shown} puts weights of one layer on several of {slices} TPU slices, between which the network is "
            f"slow; choose data as a multiple of {slices}."
        )


def make_abstract_mesh(count: int, data: int | None = None, fsdp: int = 1, tensor: int = 1) -> AbstractMesh:
    """A mesh of so many devices that are not there: shardings, and shapes of what a device holds.

    Args:
      count: devices.
      data, fsdp, tensor: as for `make_mesh`.

    Raises:
      UserError: the axes do not multiply to the number of devices.
    """
    shape = _sizes(count, data, fsdp, tensor)
    return AbstractMesh(shape, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def _sizes(count: int, data: int | None, fsdp: int, tensor: int) -> tuple[int, int, int]:
    """Devices along each axis."""
    shape = (count // max(fsdp * tensor, 1) if data is None else data, fsdp, tensor)
    if min(shape) < 1 or shape[0] * fsdp * tensor != count:
        given = " x ".join(f"{name} {size}" for name, size in zip(AXES, shape))
        raise UserError(f"mesh {given} does not fill {count} devices; choose sizes whose product is {count}.")
    return shape


@contextmanager
def on_one_device() -> Iterator[None]:
    """Programs run on the first device of this process alone, whatever the mesh around: the others need not join.

    Their arguments are of the host, or lie on that device.
    """
    device = jax.local_devices()[0]
    with jax.set_mesh(make_mesh(devices=[device])), jax.default_device(device):
        yield
