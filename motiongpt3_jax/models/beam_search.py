"""Beam search in which a text that ends is set aside and leaves its beam to others, as in transformers."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.models.token_sampling import TextOptions, is_end


class Candidates(struct.PyTreeNode):
    """The best continuations of a row's beams, best first, twice as many as beams: half of them may end.

    Attributes:
      parents: the beam that each continues.
      tokens: with which id.
      totals: sum of log p; -inf for what continues nothing.
      ended: whether its text ends.
    """

    parents: Int[Array, "rows candidates"]
    tokens: Int[Array, "rows candidates"]
    totals: Float[Array, "rows candidates"]
    ended: Bool[Array, "rows candidates"]


class SetAside(struct.PyTreeNode):
    """Texts that have ended.

    Attributes:
      scores: the best ones of each row, best first; -inf where there are fewer.
      text: the best one.
    """

    scores: Float[Array, "rows beams"]
    text: Int[Array, "rows tokens"]


def none_aside(rows: int, options: TextOptions) -> SetAside:
    """Before any text has ended."""
    text = jnp.full((rows, options.max_new), options.end, jnp.int32)
    return SetAside(jnp.full((rows, options.beams), -jnp.inf), text)


def best_candidates(
    scores: Float[Array, "rows beams vocabulary"], totals: Float[Array, "rows beams"], options: TextOptions
) -> Candidates:
    """The continuations of the highest sums, whichever beam they continue."""
    count = 2 * options.beams
    best, ids = jax.lax.top_k(jax.nn.log_softmax(scores, axis=-1), min(count, scores.shape[2]))
    sums = (totals[..., None] + best).reshape(len(totals), -1)
    highest, chosen = jax.lax.top_k(sums, min(count, sums.shape[1]))
    tokens = jnp.take_along_axis(ids.reshape(len(ids), -1), chosen, axis=1)
    return Candidates(chosen // best.shape[2], tokens, highest, is_end(tokens, options))


def surviving_beams(
    found: Candidates, options: TextOptions
) -> tuple[Int[Array, "rows beams"], Int[Array, "rows beams"], Float[Array, "rows beams"]]:
    """The best candidates that do not end: (the beam that each continues, with which token, sum of log p)."""
    totals, chosen = jax.lax.top_k(jnp.where(found.ended, -jnp.inf, found.totals), options.beams)
    parents, tokens = (jnp.take_along_axis(x, chosen, axis=1) for x in (found.parents, found.tokens))
    return parents, tokens, totals


def set_aside(
    kept: SetAside,
    found: Candidates,
    texts: Int[Array, "rows beams tokens"],
    step: Int[Array, ""],
    done: Bool[Array, "rows"],
    options: TextOptions,
) -> tuple[SetAside, Bool[Array, "rows"]]:
    """Sets texts aside that end among the best `beams` candidates: (all of them, which rows are through).

    A row is through when it has set as many aside as it has beams, and the best candidate is no better than the last.

    Args:
      kept: those set aside before.
      found: the candidates.
      texts: of the beams that they continue.
      step: tokens of these texts.
      done: rows that are through already.
      options: beams and length penalty.
    """
    beams = options.beams
    scores = found.totals / (step + 1.0) ** options.length_penalty
    counts = found.ended[:, :beams] & ~done[:, None]
    ending = jnp.where(counts, scores[:, :beams], -jnp.inf)
    # They are sorted: the first that counts is the best of them.
    first = jnp.argmax(ending, axis=1)[:, None]
    parent, token = (jnp.take_along_axis(x, first, axis=1) for x in (found.parents, found.tokens))
    text = jnp.take_along_axis(texts, parent[..., None], axis=1)[:, 0].at[:, step].set(token[:, 0])
    better = ending.max(axis=1) > kept.scores[:, 0]
    every = jax.lax.top_k(jnp.concatenate([kept.scores, ending], axis=1), beams)[0]
    through = done | (every[:, -1] >= scores[:, 0]) & jnp.isfinite(every[:, -1])
    return SetAside(every, jnp.where(better[:, None], text, kept.text)), through
