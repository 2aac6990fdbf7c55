"""Compiler options (XLA flags) of programs that run on a mesh, by the kind of its devices."""

from collections.abc import Mapping

from jax.sharding import AbstractMesh, Mesh

TPU: Mapping[str, bool] = {"xla_tpu_prefer_async_allgather_to_allreduce": True}
"""Where weights are split over all chips of a slice, libtpu gathers those of 64 KB a chip and less by an all-reduce of
the whole, which sends each number twice. With this option it gathers them on v5e; on v6e and v5p it changes nothing."""


def compiler_options(mesh: Mesh | AbstractMesh) -> dict[str, bool] | None:
    """What `jax.jit` takes as `compiler_options` for programs on this mesh; None where nothing is to be said."""
    if isinstance(mesh, AbstractMesh):
        return None
    return dict(TPU) if mesh.devices.flat[0].platform == "tpu" else None
