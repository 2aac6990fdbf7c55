"""Device meshes, the sharding table, and arrays on their way to devices."""

from motiongpt3_jax.parallel.compiler_options import compiler_options
from motiongpt3_jax.parallel.constrain import constrain, make_constrain
from motiongpt3_jax.parallel.host_memory import keep_host_memory
from motiongpt3_jax.parallel.mesh import make_mesh, on_one_device
from motiongpt3_jax.parallel.processes import first_does, initialize_distributed
from motiongpt3_jax.parallel.sharding import (
    SHARDING,
    ShardingOptions,
    local_rows,
    put_batch,
    replicated,
    rows_sharding,
    shardings,
    whole_parts,
)

__all__ = [
    "SHARDING",
    "ShardingOptions",
    "compiler_options",
    "constrain",
    "first_does",
    "initialize_distributed",
    "keep_host_memory",
    "local_rows",
    "make_constrain",
    "make_mesh",
    "on_one_device",
    "put_batch",
    "replicated",
    "rows_sharding",
    "shardings",
    "whole_parts",
]
