"""Token embeddings, tied to the logits; new ids have a table of their own."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

LANES = 128
"""Logits are padded to a multiple of this, which the matrix units like."""


class Vocabulary(nn.Module):
    """Ids to vectors and vectors to logits.

    Attributes:
      size: ids of the base table.
      new: ids that follow them, in a table that can train while the base is frozen.
      width: of a vector.
      dtype: of the computation.
    """

    size: int
    new: int
    width: int
    dtype: str = "float32"

    def setup(self) -> None:
        normal = nn.initializers.normal(0.02)
        self.table = self.param("table", normal, (self.size, self.width))
        if self.new:
            self.new_table = self.param("new", normal, (self.new, self.width))

    def _rows(self) -> Float[Array, "ids width"]:
        rows = jnp.concatenate([self.table, self.new_table]) if self.new else self.table
        return rows.astype(self.dtype)

    def embed(self, ids: Int[Array, "*batch"]) -> Float[Array, "*batch width"]:
        """The vector of each id."""
        return jnp.take(self._rows(), ids, axis=0)

    def logits(self, hidden: Float[Array, "*batch width"]) -> Float[Array, "*batch padded"]:
        """A score for each id, -inf beyond the last."""
        rows = self._rows()
        padding = -len(rows) % LANES
        scores = hidden.astype(self.dtype) @ jnp.pad(rows, ((0, padding), (0, 0))).T
        return jnp.where(jnp.arange(len(rows) + padding) < len(rows), scores, -jnp.inf)

    def __call__(self, ids: Int[Array, "*batch"]) -> Float[Array, "*batch width"]:
        """Same as `embed`."""
        return self.embed(ids)
