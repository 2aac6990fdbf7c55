"""EMA codebook with reset: vector quantisation whose codes follow moving averages (VQ-VAE, arXiv 1711.00937, A.1).

A training step looks vectors up, measures sums over the batch (`quantise`), and moves the codebook once by their totals
(`advance_codebook`). The sums add up over devices and micro-batches, and so does what re-seeds codes that are hardly
used: `reseed_slots` deals the positions of the whole batch out beforehand, and each code gets the vector of one.

The first batch's vectors become the codebook before they are looked up in it. A micro-batch then knows only the codes
that its own vectors seed, and looks up among those; from the second step on accumulation changes nothing.
"""

from typing import NamedTuple, TypedDict

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

DECAY = 0.99
"""Of the moving averages, at every update."""

LEAST_COUNT = 1.0
"""A code whose moving count is below this is re-seeded."""

SEED_NOISE = 0.01
"""Length of the noise that tells codes seeded by one vector apart."""


class Codebook(TypedDict):
    """A codebook's state, a plain dictionary as `Variables.state` and checkpoints hold it.

    Attributes:
      table: the codes' vectors.
      sums: moving sum of the vectors that each code replaced.
      counts: moving number of them.
      initialised: whether a first batch has filled the table.
    """

    table: Float[Array, "codes width"]
    sums: Float[Array, "codes width"]
    counts: Float[Array, "codes"]
    initialised: Bool[Array, ""]


class CodebookSums(TypedDict):
    """What a batch moves a codebook by; of micro-batches and devices, the sum.

    Attributes:
      sums: sum of the vectors that each code replaced.
      counts: number of them.
      seeds: the vector that re-seeds each code.
    """

    sums: Float[Array, "codes width"]
    counts: Float[Array, "codes"]
    seeds: Float[Array, "codes width"]


class ReseedSlots(struct.PyTreeNode):
    """Which vector of a batch re-seeds which code: the one of rank r seeds codes r, r + total, r + 2 total and so on.

    Attributes:
      ranks: of each place in the whole batch; -1 where there is no vector.
      total: how many vectors the whole batch has.
      noise: standard normal, for codes that share a vector; its first axis is none of a batch's.
    """

    ranks: Int[Array, "*places"]
    total: Int[Array, ""]
    noise: Float[Array, "1 codes width"]


class Quantised(NamedTuple):
    """Vectors and what replaces them.

    Attributes:
      codes: number of the nearest code.
      vectors: that code's vector.
      sums: what moves the codebook.
    """

    codes: Int[Array, "*places"]
    vectors: Float[Array, "*places width"]
    sums: CodebookSums


def empty_codebook(codes: int, width: int) -> Codebook:
    """A codebook that the first batch fills."""
    table = jnp.zeros((codes, width))
    return Codebook(table=table, sums=table, counts=jnp.zeros(codes), initialised=jnp.zeros((), bool))


def nearest_codes(
    table: Float[Array, "codes width"],
    vectors: Float[Array, "*places width"],
    usable: Bool[Array, "codes"] | None = None,
) -> Int[Array, "*places"]:
    """The code of least Euclidean distance to each vector, among those that are usable.

    The squared distance is |z|^2 - 2 z.c + |c|^2, whose first term all codes share.
    """
    flat = vectors.reshape(-1, vectors.shape[-1])
    distances = jnp.square(table).sum(axis=1) - 2 * jnp.matmul(flat, table.T, precision="highest")
    if usable is not None:
        distances = jnp.where(usable, distances, jnp.inf)
    return jnp.argmin(distances, axis=1).reshape(vectors.shape[:-1])


def straight_through(
    vectors: Float[Array, "*places width"], quantised: Float[Array, "*places width"]
) -> Float[Array, "*places width"]:
    """The quantised vectors, with the gradient of the vectors (straight-through estimator)."""
    return vectors + jax.lax.stop_gradient(quantised - vectors)


def reseed_slots(
    key: Array, valid: Bool[Array, "*places"], codes: int, width: int, permuted: bool = True
) -> ReseedSlots:
    """Deals the vectors of a whole batch out to the codes that they re-seed.

    Args:
      key: of the order and of the noise.
      valid: the places that hold a vector.
      codes: rows of the codebook.
      width: of a vector.
      permuted: in random order; otherwise (as the official code does) in that of the places.
    """
    order_key, noise_key = jax.random.split(key)
    flat = valid.reshape(-1)
    priorities = jax.random.uniform(order_key, flat.shape) if permuted else jnp.arange(flat.size, dtype=jnp.float32)
    order = jnp.argsort(jnp.where(flat, priorities, jnp.inf))
    ranks = jnp.zeros(flat.size, jnp.int32).at[order].set(jnp.arange(flat.size, dtype=jnp.int32))
    ranks = jnp.where(flat, ranks, -1).reshape(valid.shape)
    return ReseedSlots(ranks, flat.sum(), jax.random.normal(noise_key, (1, codes, width)))


def quantise(codebook: Codebook, vectors: Float[Array, "*places width"], slots: ReseedSlots) -> Quantised:
    """Look-up of a training step, and the sums that `advance_codebook` moves the codebook by.

    Args:
      codebook: as it was before the step; an empty one is replaced with the batch's seeds.
      vectors: of the encoder; no gradient comes back.
      slots: which of them count, and which seed codes; see `reseed_slots`.
    """
    codes, width = codebook["table"].shape
    flat, ranks = jax.lax.stop_gradient(vectors).reshape(-1, width), slots.ranks.reshape(-1)
    slot = jnp.arange(codes) % jnp.maximum(slots.total, 1)
    chosen = ranks[:, None] == slot
    # Every code has one seed in the whole batch, so the sum is that vector to the bit.
    seeds = jnp.matmul(chosen.T.astype(flat.dtype), flat, precision="highest")
    seeded = chosen.any(axis=0)
    shared = seeded & (slots.total < codes)
    seeds += jnp.where(shared[:, None], SEED_NOISE / width**0.5 * slots.noise[0], 0.0)

    table = jnp.where(codebook["initialised"], codebook["table"], seeds)
    usable = codebook["initialised"] | seeded
    nearest = nearest_codes(table, flat, usable)
    hits = (nearest[:, None] == jnp.arange(codes)) & (ranks >= 0)[:, None] & usable
    hits = hits.astype(flat.dtype)
    sums = CodebookSums(sums=jnp.matmul(hits.T, flat, precision="highest"), counts=hits.sum(axis=0), seeds=seeds)
    return Quantised(nearest.reshape(vectors.shape[:-1]), table[nearest].reshape(vectors.shape), sums)


def advance_codebook(codebook: Codebook, sums: CodebookSums) -> Codebook:
    """The codebook after a step: moving averages of what its codes replaced, and seeds for codes that are hardly used.

    Args:
      codebook: before the step.
      sums: of the whole batch; one without vectors changes nothing.
    """
    first = ~codebook["initialised"]
    old_sums = jnp.where(first, sums["seeds"], codebook["sums"])
    old_counts = jnp.where(first, 1.0, codebook["counts"])
    # A code hit once a batch keeps its count of exactly 1 in this order of products, and is not re-seeded.
    counts = DECAY * old_counts + (1 - DECAY) * sums["counts"]
    moved = DECAY * old_sums + (1 - DECAY) * sums["sums"]
    used = counts >= LEAST_COUNT
    table = jnp.where(used[:, None], moved / jnp.where(used, counts, 1.0)[:, None], sums["seeds"])
    new = Codebook(table=table, sums=moved, counts=counts, initialised=jnp.ones((), bool))
    any_vector = sums["counts"].sum() > 0
    return jax.tree.map(lambda after, before: jnp.where(any_vector, after, before), new, codebook)


def perplexity(counts: Float[Array, "codes"]) -> Float[Array, ""]:
    """Exponential of the entropy of how often codes were used: as many codes, used evenly, would have the same."""
    shares = counts / jnp.maximum(counts.sum(), 1e-30)
    return jnp.exp(-(shares * jnp.log(shares + 1e-7)).sum())


def effective_rank(table: Float[Array, "codes width"]) -> Float[Array, ""]:
    """Exponential of the entropy of the codes' singular values about their mean (Roy and Vetterli, 2007)."""
    values = jnp.linalg.svd(table - table.mean(axis=0), compute_uv=False)
    shares = values / jnp.maximum(values.sum(), 1e-30)
    return jnp.exp(-(shares * jnp.log(jnp.maximum(shares, 1e-30))).sum())
