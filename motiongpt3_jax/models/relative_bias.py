"""T5's relative position bias: a number a head, added to attention scores, by the bucket of the distance to the key."""

import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def relative_buckets(
    distance: Int[Array, "*shape"], buckets: int, max_distance: int, both_sides: bool
) -> Int[Array, "*shape"]:
    """The bucket of each distance: exact ones up to half of them, then wider ones by its logarithm.

    Args:
      distance: position of the key minus that of the query.
      buckets: how many there are.
      max_distance: from which on all distances of a side are in one bucket.
      both_sides: half of the buckets for later keys; else these are in bucket 0, for attention that is causal.
    """
    if both_sides:
        buckets //= 2
        side = jnp.where(distance > 0, buckets, 0)
        distance = jnp.abs(distance)
    else:
        side, distance = 0, jnp.maximum(-distance, 0)
    exact = buckets // 2
    # In this order and in float32: some distances lie on a bucket's border.
    logarithm = jnp.log(jnp.maximum(distance, 1).astype(jnp.float32) / exact) / np.float32(
        math.log(max_distance / exact)
    )
    wide = exact + (logarithm * (buckets - exact)).astype(jnp.int32)
    return side + jnp.where(distance < exact, distance, jnp.minimum(wide, buckets - 1))


class RelativeBias(nn.Module):
    """The bias of every query and key; all layers of a stack share it.

    Attributes:
      heads: each has its own.
      buckets, max_distance, both_sides: see `relative_buckets`.
    """

    heads: int
    buckets: int = 32
    max_distance: int = 128
    both_sides: bool = False

    @nn.compact
    def __call__(
        self, queries: Int[Array, "batch queries"], keys: Int[Array, "batch keys"]
    ) -> Float[Array, "batch heads queries keys"]:
        """From positions of queries and keys."""
        table = self.param("table", nn.initializers.normal(0.02), (self.buckets, self.heads))
        distance = keys[:, None, :] - queries[:, :, None]
        buckets = relative_buckets(distance, self.buckets, self.max_distance, self.both_sides)
        return jnp.moveaxis(jnp.take(table, buckets, axis=0), 3, 1)
