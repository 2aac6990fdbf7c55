"""Token embeddings and logits, from one table or from two; new ids have a table of their own."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int

from motiongpt3_jax.models.constrain import Constrain, unconstrained
from motiongpt3_jax.models.dense import for_cpu, kernel_first_product

LANES = 128
"""Logits are padded to a multiple of this, which the matrix units like."""

Copies = Float[Array, "copies ids width"]


class Table(struct.PyTreeNode):
    """Vectors of ids as each of several devices reads them.

    Attributes:
      rows: those of the base ids, of the new ones, and zeros up to a multiple of `LANES`, in the dtype of the
        computation.
      base, new: float32 arrays that receive gradients, each device's by itself, and whose values nothing reads; no new
        ids, no `new`.
    """

    rows: Copies
    base: Copies
    new: Copies | None


class Tables(struct.PyTreeNode):
    """What embeddings are read from and what logits are products with: the same table, where they are tied."""

    embed: Table
    logits: Table


class Vocabulary(nn.Module):
    """Ids to vectors and vectors to logits. Parameters: table, new, later; untied also head, new_head, later_head.

    Attributes:
      size: ids of the base table.
      new: ids that follow them, in a table that can train while the base is frozen.
      later: how many of these, the last ones, have a table of their own, which can train while the others are frozen.
      width: of a vector.
      dtype: of the computation.
      tied: whether logits are products with the vectors of the ids, as GPT-2's; else with rows of their own, as T5's.
      std: standard deviation of fresh vectors; rows of their own start by their width.
      scale: factor of the vectors where they are read; logits are products with the table as it is.
      cap: soft cap of the logits, cap * tanh(logit / cap); None for none.
      constrain: where a mesh may copy tables to its devices.
    """

    size: int
    new: int
    width: int
    dtype: str = "float32"
    tied: bool = True
    std: float = 0.02
    scale: float = 1.0
    cap: float | None = None
    constrain: Constrain = unconstrained
    later: int = 0

    def setup(self) -> None:
        normal = nn.initializers.normal(self.std)
        self.table = self.param("table", normal, (self.size, self.width))
        if self.new:
            self.new_table = self._new_rows("", normal)
        if not self.tied:
            fan_in = nn.initializers.normal(self.width**-0.5)
            self.head = self.param("head", fan_in, (self.size, self.width))
            if self.new:
                self.new_head = self._new_rows("_head", fan_in)

    def _new_rows(self, kind: str, init: nn.initializers.Initializer) -> Float[Array, "new width"]:
        rows = self.param(f"new{kind}", init, (self.new - self.later, self.width))
        if not self.later:
            return rows
        return jnp.concatenate([rows, self.param(f"later{kind}", init, (self.later, self.width))])

    def tables(self) -> Tables:
        """The tables for embeddings and logits of one loss.

        On a mesh every device reads a copy. The gradients of both uses meet in it, and are then summed over devices
        once.
        """
        embed = self._table(self.table, self.new_table if self.new else None)
        return Tables(embed, embed if self.tied else self._table(self.head, self.new_head if self.new else None))

    def _table(self, base: Float[Array, "base width"], new: Float[Array, "new width"] | None) -> Table:
        parts = [base] if new is None else [base, new]
        rows = jax.lax.stop_gradient(self._padded(parts))
        rows = self.constrain("copies", rows[None])
        receivers = [self.constrain("copies", part[None].astype(jnp.float32)) for part in parts]
        return Table(rows, receivers[0], receivers[1] if self.new else None)

    def embed(self, ids: Int[Array, "*batch"], tables: Tables | None = None) -> Float[Array, "*batch width"]:
        """The vector of each id; nan for ids beyond the last."""
        if tables is not None:
            table, dealt = deal(tables.embed, ids)
            vectors = _read(dealt, table).reshape(*ids.shape, self.width)
            return self._scaled(jnp.where((ids < self.size + self.new)[..., None], vectors, jnp.nan))
        if not self.new:
            return self._scaled(jnp.take(self.table, ids, axis=0).astype(self.dtype))
        base = jnp.take(self.table, jnp.minimum(ids, self.size - 1), axis=0)
        new = jnp.take(self.new_table, jnp.maximum(ids - self.size, 0), axis=0)
        return self._scaled(jnp.where((ids < self.size)[..., None], base, new).astype(self.dtype))

    def _scaled(self, vectors: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
        # The factor is rounded to the dtype of the computation, as Gemma's is.
        return vectors if self.scale == 1 else vectors * jnp.asarray(self.scale, vectors.dtype)

    def logits(self, hidden: Float[Array, "*batch width"]) -> Float[Array, "*batch padded"]:
        """A score for each id in float32, -inf beyond the last; in bfloat16 the best ones would often tie.

        A loss has `cross_entropy`, which holds few of them at a time.
        """
        hidden, tables = hidden.astype(self.dtype), self._logit_tables()
        padding = -(self.size + self.new) % LANES
        if hidden.size < self.width**2:
            # A decode step would take longer to join the tables than to multiply with them.
            scores = [self._scores(hidden, rows) for rows in tables]
            return jnp.concatenate([*scores, jnp.full((*hidden.shape[:-1], padding), -jnp.inf)], axis=-1)
        scores = self._scores(hidden, self._padded(tables))
        return jnp.where(jnp.arange(scores.shape[-1]) < self.size + self.new, scores, -jnp.inf)

    def new_logits(self, hidden: Float[Array, "*batch width"]) -> Float[Array, "*batch new"]:
        """A score in float32 for each of the new ids alone."""
        return self._scores(hidden.astype(self.dtype), self._logit_tables()[1])

    def _logit_tables(self) -> list[Float[Array, "ids width"]]:
        tables = [self.table if self.tied else self.head]
        if self.new:
            tables.append(self.new_table if self.tied else self.new_head)
        return tables

    def _padded(self, parts: Sequence[Float[Array, "ids width"]]) -> Float[Array, "padded width"]:
        """Tables as one in the dtype of the computation, with zeros up to a multiple of `LANES`."""
        rows = [part.astype(self.dtype) for part in parts]
        return jnp.concatenate([*rows, jnp.zeros((-(self.size + self.new) % LANES, self.width), self.dtype)])

    def _scores(self, hidden: Float[Array, "*batch width"], rows: Float[Array, "ids width"]) -> Array:
        kernel = rows.T.astype(self.dtype)
        if for_cpu() and self.dtype == "float32":
            # A table lies as a transposed kernel does.
            return soft_cap(kernel_first_product(hidden, kernel), self.cap)
        return soft_cap(jnp.matmul(hidden, kernel, preferred_element_type=jnp.float32), self.cap)

    def __call__(self, ids: Int[Array, "*batch"]) -> Float[Array, "*batch width"]:
        """Same as `embed`."""
        return self.embed(ids)


def soft_cap(x: Float[Array, "*shape"], cap: float | None) -> Float[Array, "*shape"]:
    """cap * tanh(x / cap), which is near x where x is small and never beyond the cap (arXiv 2408.00118); None for x."""
    return x if cap is None else cap * jnp.tanh(x / cap)


def deal(table: Table, x: Array) -> tuple[Table, Array]:
    """Rows dealt out to the copies of a table; to the first one alone, where they do not divide."""
    copies = len(table.rows)
    if not x.ndim or len(x) % copies:
        return jax.tree.map(lambda part: part[:1], table), x[None]
    return table, x.reshape(copies, len(x) // copies, *x.shape[1:])


@jax.custom_vjp
def _read(ids: Int[Array, "copies *batch"], table: Table) -> Float[Array, "copies *batch width"]:
    return jax.vmap(partial(jnp.take, axis=0, mode="clip"))(table.rows, ids)


def _read_backward(kept: tuple[Array, Table], gradient: Float[Array, "copies *batch width"]) -> tuple[Array, Table]:
    """Each device adds the gradients of its own rows up, in float32."""
    ids, table = kept
    size = table.base.shape[1]

    def scatter(part: Copies, ids: Array, gradient: Array) -> Array:
        # Ids of the other part are beyond the end, and dropped.
        places = jnp.where((ids >= 0) & (ids < part.shape[0]), ids, part.shape[0])
        return jnp.zeros(part.shape, part.dtype).at[places].add(gradient.astype(part.dtype), mode="drop")

    base = jax.vmap(scatter)(table.base, ids, gradient)
    new = None if table.new is None else jax.vmap(scatter)(table.new, ids - size, gradient)
    return _nothing(ids), Table(jnp.zeros_like(table.rows), base, new)


_read.defvjp(lambda ids, table: (_read(ids, table), (ids, table)), _read_backward)


def _nothing(x: Array) -> np.ndarray:
    """The gradient of whole numbers."""
    return np.zeros(x.shape, jax.dtypes.float0)
