"""Beam search that collects finished hypotheses: a text that ends leaves its beam to others, as in transformers."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.models.token_sampling import TextOptions, is_end


class Candidates(struct.PyTreeNode):
    """The best continuations of a row's beams, best first, twice as many as beams: half of them may end.

    Where a text may end with one of several ids, there are as many more.

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


class FinishedBeams(struct.PyTreeNode):
    """Finished hypotheses of a beam search: texts that have ended.

    Attributes:
      scores: the best ones of each row, best first; -inf where there are fewer.
      text: the best one.
    """

    scores: Float[Array, "rows beams"]
    text: Int[Array, "rows tokens"]


def no_finished_beams(rows: int, options: TextOptions) -> FinishedBeams:
    """Before any text has ended."""
    text = jnp.full((rows, options.max_new), options.end, jnp.int32)
    return FinishedBeams(jnp.full((rows, options.beams), -jnp.inf), text)


def best_candidates(
    scores: Float[Array, "rows beams vocabulary"], totals: Float[Array, "rows beams"], options: TextOptions
) -> Candidates:
    """The continuations of the highest sums, whichever beam they continue."""
    count = (1 + len(options.ends)) * options.beams
    best, ids = jax.lax.top_k(jax.nn.log_softmax(scores, axis=-1), min(count, scores.shape[2]))
    sums = (totals[..., None] + best).reshape(len(totals), -1)
    highest, chosen = jax.lax.top_k(sums, min(count, sums.shape[1]))
    tokens = jnp.take_along_axis(ids.reshape(len(ids), -1), chosen, axis=1)
    return Candidates(chosen // best.shape[2], tokens, highest, is_end(tokens, options))


def surviving_beams(
    candidates: Candidates, options: TextOptions
) -> tuple[Int[Array, "rows beams"], Int[Array, "rows beams"], Float[Array, "rows beams"]]:
    """The best candidates that do not end: (the beam that each continues, with which token, sum of log p)."""
    totals, chosen = jax.lax.top_k(jnp.where(candidates.ended, -jnp.inf, candidates.totals), options.beams)
    parents, tokens = (jnp.take_along_axis(x, chosen, axis=1) for x in (candidates.parents, candidates.tokens))
    return parents, tokens, totals


def collect_finished(
    finished: FinishedBeams,
    candidates: Candidates,
    texts: Int[Array, "rows beams tokens"],
    step: Int[Array, ""],
    done: Bool[Array, "rows"],
    options: TextOptions,
) -> tuple[FinishedBeams, Bool[Array, "rows"]]:
    """Collects texts that end among the best `beams` candidates: (all of them, which rows are through).

    A row is through when it has collected as many as it has beams, and the best candidate is no better than the last;
    with early stopping it need not be.

    Args:
      finished: those collected before.
      candidates: the best continuations.
      texts: of the beams that they continue.
      step: tokens of these texts.
      done: rows that are through already.
      options: beams and length penalty.
    """
    beams = options.beams
    scores = candidates.totals / (step + 1.0) ** options.length_penalty
    counts = candidates.ended[:, :beams] & ~done[:, None]
    ending = jnp.where(counts, scores[:, :beams], -jnp.inf)
    # They are sorted: the first that counts is the best of them.
    first = jnp.argmax(ending, axis=1)[:, None]
    parent, token = (jnp.take_along_axis(x, first, axis=1) for x in (candidates.parents, candidates.tokens))
    text = jnp.take_along_axis(texts, parent[..., None], axis=1)[:, 0].at[:, step].set(token[:, 0])
    better = ending.max(axis=1) > finished.scores[:, 0]
    best = jax.lax.top_k(jnp.concatenate([finished.scores, ending], axis=1), beams)[0]
    enough = options.early_stopping | (best[:, -1] >= scores[:, 0])
    through = done | enough & jnp.isfinite(best[:, -1])
    return FinishedBeams(best, jnp.where(better[:, None], text, finished.text)), through


def collect_full(
    finished: FinishedBeams,
    totals: Float[Array, "rows beams"],
    texts: Int[Array, "rows beams tokens"],
    step: Int[Array, ""],
    full: Bool[Array, "rows"],
    options: TextOptions,
) -> FinishedBeams:
    """Collects the beams of rows whose texts have no more room.

    Args:
      finished: those collected before.
      totals: sums of log p.
      texts: with the step's token.
      step: tokens of these texts without it.
      full: which rows.
      options: beams and length penalty.
    """
    scores = jnp.where(full[:, None], totals / (step + 1.0) ** options.length_penalty, -jnp.inf)
    text = jnp.take_along_axis(texts, jnp.argmax(scores, axis=1)[:, None, None], axis=1)[:, 0]
    better = scores.max(axis=1) > finished.scores[:, 0]
    best = jax.lax.top_k(jnp.concatenate([finished.scores, scores], axis=1), options.beams)[0]
    return FinishedBeams(best, jnp.where(better[:, None], text, finished.text))
