"""Device meshes, the sharding table, and arrays on their way to devices."""

from motiongpt3_jax.parallel.host_memory import keep_host_memory
from motiongpt3_jax.parallel.mesh import make_mesh
from motiongpt3_jax.parallel.processes import first_does, initialize_distributed
from motiongpt3_jax.parallel.sharding import constrain, local_rows, put_batch, replicated, rows_sharding, shardings

__all__ = [
    "constrain",
    "first_does",
    "initialize_distributed",
    "keep_host_memory",
    "local_rows",
    "make_mesh",
    "put_batch",
    "replicated",
    "rows_sharding",
    "shardings",
]
