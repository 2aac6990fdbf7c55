"""Chunked cross-entropy over targets alone: logits of all slots are never held, nor computed without a target."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.models.constrain import Constrain, unconstrained
from motiongpt3_jax.models.vocabulary import Table, Tables, Vocabulary, deal, soft_cap

CHUNK = 512
"""Targets whose logits are held at a time, in each group of rows: enough for the matrix units to be busy."""


class CrossEntropy(NamedTuple):
    """What `cross_entropy` finds.

    Attributes:
      loss: weighted sum over all targets.
      right: whether the target of a slot has the highest logit, a tie included; False where there is no weight.
    """

    loss: Float[Array, ""]
    right: Bool[Array, "rows slots"]


def cross_entropy(
    vocabulary: Vocabulary,
    params: Any,
    hidden: Float[Array, "rows slots width"],
    targets: Int[Array, "rows slots"],
    weights: Float[Array, "rows slots"],
    tables: Tables | None = None,
    *,
    chunk: int = CHUNK,
) -> CrossEntropy:
    """Softmax cross-entropy of the slots with a weight, a chunk of them at a time, with gradients made on the way.

    The slots of a group of rows are put in order, those with a weight first, and as many chunks are computed as the
    fullest group needs. Where a gradient is asked for, a chunk's is computed from its logits at once, so that nothing
    is computed twice. The highest logit is known from the softmax: whether a target has it costs nothing. On a mesh
    there are as many groups as copies of the tables, and each sums its own gradients of them over all chunks.

    Args:
      vocabulary: gives the logits; its hook may pin "logits" (groups, chunk, ids).
      params: of the vocabulary.
      hidden: hidden states.
      targets: the id that each slot predicts.
      weights: of each target; no gradient is taken of them.
      tables: of the vocabulary, where its embeddings share them.
      chunk: slots of a group in a chunk.
    """
    if tables is None:
        tables = vocabulary.apply({"params": params}, method="tables")
    parts = [deal(tables.logits, x) for x in (hidden, targets, weights)]
    table = parts[0][0]
    grouped = [x.reshape(len(x), -1, *x.shape[3:]) for _, x in parts]
    # Rows that do not divide over the copies are all read from one.
    constrain = vocabulary.constrain if len(table.rows) == len(tables.logits.rows) else unconstrained
    options = _Options(vocabulary.size + vocabulary.new, min(chunk, grouped[1].shape[1]), vocabulary.cap, constrain)
    loss, right = _weighted_sum(options, table, *grouped)
    return CrossEntropy(loss, right.reshape(targets.shape))


class _Options(NamedTuple):
    """What is known when a program is traced.

    Attributes:
      ids: of the vocabulary; further rows of its table are padding.
      chunk: see `cross_entropy`.
      cap: soft cap of the logits, see `Vocabulary`.
      constrain: where a mesh may pin arrays.
    """

    ids: int
    chunk: int
    cap: float | None
    constrain: Constrain


class _GradientsOf(NamedTuple):
    """Of what gradients are computed."""

    base: bool = False
    new: bool = False
    hidden: bool = False


class _Sums(NamedTuple):
    """What the loop over chunks carries; a gradient that nobody needs is None, `table` may be of new ids alone."""

    loss: Float[Array, "groups"]
    right: Bool[Array, "groups slots"]
    table: Float[Array, "groups ids width"] | None
    hidden: Float[Array, "groups slots width"] | None


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _weighted_sum(
    options: _Options,
    table: Table,
    hidden: Float[Array, "groups slots width"],
    targets: Int[Array, "groups slots"],
    weights: Float[Array, "groups slots"],
) -> tuple[Float[Array, ""], Bool[Array, "groups slots"]]:
    sums = _sum_chunks(options, table, hidden, targets, weights, _GradientsOf())
    return sums.loss.sum(), sums.right


def _forward(options: _Options, *primals: Any) -> tuple[tuple[Array, Array], tuple[Table, Array | None]]:
    """The sum and its gradients, of what trains alone: a frozen table costs no products."""
    table, hidden, *_ = primals
    gradients_of = _GradientsOf(table.base.perturbed, table.new is not None and table.new.perturbed, hidden.perturbed)
    table, *others = jax.tree.map(lambda x: x.value, primals)
    sums = _sum_chunks(options, table, *others, gradients_of)
    size = table.base.shape[1]
    of_base, of_new = None, sums.table
    if gradients_of.base:
        of_base, of_new = sums.table[:, :size], sums.table[:, size : options.ids]
    return (sums.loss.sum(), sums.right), (Table(None, of_base, of_new if gradients_of.new else None), sums.hidden)


def _backward(options: _Options, gradients: tuple[Table, Array | None], cotangents: tuple[Any, Any]) -> tuple:
    table, hidden = jax.tree.map(lambda x: (x * cotangents[0]).astype(x.dtype), gradients)
    return table, hidden, None, None


_weighted_sum.defvjp(_forward, _backward, symbolic_zeros=True)


def _sum_chunks(
    options: _Options, table: Table, hidden: Array, targets: Array, weights: Array, gradients_of: _GradientsOf
) -> _Sums:
    """The loop over the chunks that have targets; its result is in the order of the slots again."""
    rows, (groups, slots, width) = table.rows, hidden.shape
    chunk, constrain = options.chunk, options.constrain
    padded = slots + -slots % chunk
    order = jnp.argsort(weights <= 0, axis=1, stable=True)
    first = [jnp.pad(jnp.take_along_axis(x, order, axis=1), ((0, 0), (0, padded - slots))) for x in (targets, weights)]
    places = jnp.pad(order, ((0, 0), (0, padded - slots)))
    # While new ids alone train, the table's other rows need no product.
    columns = slice(None) if gradients_of.base else slice(table.base.shape[1], options.ids)

    def add(index: Int[Array, ""], sums: _Sums) -> _Sums:
        start = index * chunk
        here, target, weight = (jax.lax.dynamic_slice_in_dim(x, start, chunk, axis=1) for x in (places, *first))
        x = jnp.take_along_axis(hidden, here[..., None], axis=1).astype(rows.dtype)
        logits = soft_cap(jnp.einsum("gcw,gvw->gcv", x, rows, preferred_element_type=jnp.float32), options.cap)
        ids = jnp.arange(logits.shape[-1])
        logits = constrain("logits", jnp.where(ids < options.ids, logits, -jnp.inf))
        most = logits.max(axis=-1)
        exponentials = jnp.exp(logits - most[..., None])
        total = exponentials.sum(axis=-1)
        picked = jnp.take_along_axis(logits, target[..., None], axis=-1)[..., 0]
        losses = jnp.where(weight > 0, (most + jnp.log(total) - picked) * weight, 0.0)
        right = (picked >= most) & (weight > 0)
        sums = sums._replace(loss=sums.loss + losses.sum(axis=1), right=_write(sums.right, right, start))
        if not any(gradients_of):
            return sums
        share = jnp.where(weight > 0, weight / total, 0.0)[..., None]
        errors = exponentials * share - jnp.where(ids == target[..., None], weight[..., None], 0.0)
        if options.cap is not None:
            # The slope of the cap; errors of padding, whose logits are -inf, are zero.
            errors = errors * (1 - jnp.square(jnp.where(ids < options.ids, logits, 0.0) / options.cap))
        errors = constrain("logits", errors.astype(rows.dtype))
        if gradients_of.hidden:
            back = jnp.einsum("gcv,gvw->gcw", errors, rows, preferred_element_type=jnp.float32)
            sums = sums._replace(hidden=_write(sums.hidden, back.astype(hidden.dtype), start))
        if sums.table is not None:
            more = jnp.einsum("gcv,gcw->gvw", errors[..., columns], x, preferred_element_type=jnp.float32)
            sums = sums._replace(table=constrain("copies", sums.table + more))
        return sums

    def zeros(shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return jnp.zeros((groups, *shape), dtype)

    nothing = _Sums(
        loss=zeros(()),
        right=zeros((padded,), bool),
        table=zeros(rows[0, columns].shape) if gradients_of.base or gradients_of.new else None,
        hidden=zeros((padded, width), hidden.dtype) if gradients_of.hidden else None,
    )
    filled = (weights > 0).sum(axis=1).max()
    sums = jax.lax.fori_loop(0, (filled + chunk - 1) // chunk, add, nothing)
    back = jnp.argsort(order, axis=1)
    sums = sums._replace(right=jnp.take_along_axis(sums.right, back, axis=1))
    if gradients_of.hidden:
        sums = sums._replace(hidden=jnp.take_along_axis(sums.hidden, back[..., None], axis=1))
    return sums


def _write(old: Array, new: Array, start: Int[Array, ""]) -> Array:
    return jax.lax.dynamic_update_slice_in_dim(old, new, start, axis=1)
