"""The three mesh axes: `data` and `fsdp` split a batch's rows, `fsdp` and `tensor` split parameters."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import jax
from jax.sharding import AxisType, Mesh

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
      UserError: the axes do not multiply to the number of devices.
    """
    count = len(devices) if devices is not None else jax.device_count()
    shape = (count // max(fsdp * tensor, 1) if data is None else data, fsdp, tensor)
    if min(shape) < 1 or shape[0] * fsdp * tensor != count:
        given = " x ".join(f"{name} {size}" for name, size in zip(AXES, shape))
        raise UserError(f"mesh {given} does not fill {count} devices; choose sizes whose product is {count}.")
    return jax.make_mesh(shape, AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices)


@contextmanager
def on_one_device() -> Iterator[None]:
    """Programs run on the first device of this process alone, whatever the mesh around: the others need not join.

    Their arguments are of the host, or lie on that device.
    """
    device = jax.local_devices()[0]
    with jax.set_mesh(make_mesh(devices=[device])), jax.default_device(device):
        yield
