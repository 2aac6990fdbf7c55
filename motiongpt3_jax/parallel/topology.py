"""TPU slices that are not there: devices for ahead-of-time compilation with libtpu, on any machine."""

import importlib.util
import os
import re
from collections.abc import Mapping, Sequence

import jax
from jax.experimental import topologies

from motiongpt3_jax.errors import UserError

ENVIRONMENT: Mapping[str, str] = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
"""What libtpu asks a TPU machine for; without it libtpu looks for one for minutes. The last one lets it load twice."""

FAST_COMPILE: Mapping[str, float] = {"exec_time_optimization_effort": -1.0, "memory_fitting_effort": -1.0}
"""Compiler options that take a fraction of the time and leave collectives as they are; memory and speed differ."""


def split_topology(topology: str) -> tuple[int, str]:
    """(number of slices, name of one of them): "4xv5e:16x16" is four slices of 256 chips."""
    count = re.match(r"([1-9]\d{0,3})x", topology)
    return (int(count[1]), topology[count.end() :]) if count else (1, topology)


def slice_devices(topology: str) -> Sequence[jax.Device]:
    """The devices of a slice or of several, which compile and do not run; `make_mesh` takes them.

    Args:
      topology: generation and shape, such as "v5e:4x4"; of several slices with their number, "2xv5e:4x4".

    Raises:
      UserError: there is no libtpu, or it knows no such slice.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            "compiling for a TPU without one needs libtpu, which is not installed: pip install 'motiongpt3_jax[tpu]'; "
            "or let `motiongpt3 plan` estimate, which compiles nothing: --platform estimate"
        )
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    count, name = split_topology(topology)
    several = {"num_slices": count} if count > 1 else {}
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=name, **several).devices
    except (jax.errors.JaxRuntimeError, ValueError, NotImplementedError) as error:
        raise UserError(
            f"libtpu knows no slice '{topology}' ({str(error).splitlines()[0]}); write for example v5e:4x4"
        ) from None
