"""Whether batches and heads divide over a mesh: plain arithmetic, asked for all stages before the first one starts."""

from collections.abc import Mapping
from typing import NamedTuple

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.parallel.sharding import row_shards


class BatchSize(NamedTuple):
    """Rows of a global batch, and the micro-batches that it is computed in."""

    rows: int
    accumulate: int = 1


def check_divides(axes: Mapping[str, int], batches: Mapping[str, BatchSize], heads: int) -> None:
    """Refuses what a mesh cannot split evenly.

    Args:
      axes: sizes of the mesh's axes by name.
      batches: the batch of each stage by its name.
      heads: attention heads of a layer that `tensor` splits.

    Raises:
      UserError: names the first stage, or the heads, and what would do.
    """
    if heads % axes["tensor"]:
        raise UserError(
            f"mesh.tensor is {axes['tensor']}, which does not divide {heads} attention heads; choose a divisor of them."
        )
    shards = row_shards(axes)
    for stage, (rows, accumulate) in batches.items():
        if rows < 1 or accumulate < 1:
            raise UserError(f"stage '{stage}' has {rows} rows in {accumulate} micro-batches; give at least 1 of each.")
        if rows % shards:
            raise UserError(
                f"stage '{stage}': a batch of {rows} rows does not divide over data x fsdp = {shards} devices; "
                f"choose a multiple of {shards} rows, or fewer devices along these axes."
            )
        if rows % (shards * accumulate):
            raise UserError(
                f"stage '{stage}': the {rows // shards} rows of each of data x fsdp = {shards} devices do not divide "
                f"into accumulate = {accumulate} micro-batches; choose a multiple of {shards * accumulate} rows, or "
                "another accumulate."
            )
