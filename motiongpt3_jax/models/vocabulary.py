"""Token embeddings and logits, from one table or from two; new ids have a table of their own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

LANES = 128
"""Logits are padded to a multiple of this, which the matrix units like."""


class Vocabulary(nn.Module):
    """Ids to vectors and vectors to logits. Parameters: table, new; untied also head, new_head.

    Attributes:
      size: ids of the base table.
      new: ids that follow them, in a table that can train while the base is frozen.
      width: of a vector.
      dtype: of the computation.
      tied: whether logits are products with the vectors of the ids, as GPT-2's; else with rows of their own, as T5's.
      std: standard deviation of fresh vectors; rows of their own start by their width.
    """

    size: int
    new: int
    width: int
    dtype: str = "float32"
    tied: bool = True
    std: float = 0.02

    def setup(self) -> None:
        normal = nn.initializers.normal(self.std)
        self.table = self.param("table", normal, (self.size, self.width))
        if self.new:
            self.new_table = self.param("new", normal, (self.new, self.width))
        if not self.tied:
            fan_in = nn.initializers.normal(self.width**-0.5)
            self.head = self.param("head", fan_in, (self.size, self.width))
            if self.new:
                self.new_head = self.param("new_head", fan_in, (self.new, self.width))

    def embed(self, ids: Int[Array, "*batch"]) -> Float[Array, "*batch width"]:
        """The vector of each id; nan for ids beyond the last."""
        if not self.new:
            return jnp.take(self.table, ids, axis=0).astype(self.dtype)
        base = jnp.take(self.table, jnp.minimum(ids, self.size - 1), axis=0)
        new = jnp.take(self.new_table, jnp.maximum(ids - self.size, 0), axis=0)
        return jnp.where((ids < self.size)[..., None], base, new).astype(self.dtype)

    def logits(self, hidden: Float[Array, "*batch width"]) -> Float[Array, "*batch padded"]:
        """A score for each id in float32, -inf beyond the last; in bfloat16 the best ones would often tie."""
        hidden, ids = hidden.astype(self.dtype), self.size + self.new
        tables = self._logit_tables()
        if hidden.size < self.width**2:
            # A decode step would take longer to join the tables than to multiply with them.
            scores = [self._scores(hidden, rows) for rows in tables]
            return jnp.concatenate([*scores, jnp.full((*hidden.shape[:-1], -ids % LANES), -jnp.inf)], axis=-1)
        scores = self._scores(hidden, self._joined(tables))
        if self.new:
            # Adds nothing but the new rows' gradient: while they alone train, the table needs no backward pass.
            nothing = self._scores(jax.lax.stop_gradient(hidden), tables[1] - jax.lax.stop_gradient(tables[1]))
            scores = scores.at[..., self.size : ids].add(nothing)
        return jnp.where(jnp.arange(scores.shape[-1]) < ids, scores, -jnp.inf)

    def logit_rows(
        self,
    ) -> tuple[Float[Array, "padded width"], Float[Array, "base width"], Float[Array, "new width"]]:
        """(rows that logits are products with, padded with zeros; the base ids' and the new ids', for gradients alone).

        The first have no gradient, and the dtype of the computation; the others are float32, and nothing reads them.
        """
        tables = self._logit_tables()
        rows = jax.lax.stop_gradient(self._joined(tables)).astype(self.dtype)
        base, *new = (table.astype(jnp.float32) for table in tables)
        return rows, base, new[0] if new else jnp.zeros((0, self.width))

    def _logit_tables(self) -> list[Float[Array, "ids width"]]:
        tables = [self.table if self.tied else self.head]
        if self.new:
            tables.append(self.new_table if self.tied else self.new_head)
        return tables

    def _joined(self, tables: list[Float[Array, "ids width"]]) -> Float[Array, "padded width"]:
        base, new = tables[0], map(jax.lax.stop_gradient, tables[1:])
        return jnp.concatenate([base, *new, jnp.zeros((-(self.size + self.new) % LANES, self.width))])

    def _scores(self, hidden: Float[Array, "*batch width"], rows: Float[Array, "ids width"]) -> Array:
        return jnp.matmul(hidden, rows.T.astype(self.dtype), preferred_element_type=jnp.float32)

    def new_logits(self, hidden: Float[Array, "*batch width"]) -> Float[Array, "*batch new"]:
        """A score in float32 for each of the new ids alone."""
        return self._scores(hidden.astype(self.dtype), self.new_table if self.tied else self.new_head)

    def __call__(self, ids: Int[Array, "*batch"]) -> Float[Array, "*batch width"]:
        """Same as `embed`."""
        return self.embed(ids)
