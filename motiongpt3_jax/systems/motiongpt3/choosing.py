"""Which token comes next: the best one, a drawn one, or those of a search with beams."""

import math
from dataclasses import dataclass
from numbers import Integral

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.errors import UserError


@dataclass(frozen=True)
class TextOptions:
    """How text is decoded: the best token each time (as official), a drawn one, or by beam search.

    The logits go through the repetition penalty, `banned`, the temperature, `top_k` and `top_p`, in this order.

    Attributes:
      end: id that ends a text.
      banned: ids that are never written.
      max_new: longest text, in tokens (official: 40).
      repetition_penalty: divides (or multiplies, when negative) the logits of ids written before (official: 1.1).
      temperature: divides the logits of drawn tokens; 0 takes the best token.
      top_k: tokens are drawn from this many best ones; 0 is no limit (official demo: 50).
      top_p: tokens are drawn from the fewest best ones whose chances reach this sum.
      beams: texts of each row that are followed at once.
      length_penalty: a beam's score is the sum of its log p over its length to this power; its end counts.
      stops: further ids that end a text, and stay in it.
    """

    end: int
    banned: tuple[int, ...] = ()
    max_new: int = 40
    repetition_penalty: float = 1.1
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    beams: int = 1
    length_penalty: float = 1.0
    stops: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("max_new", "top_k", "beams", "end"):
            if not isinstance(getattr(self, name), Integral):
                raise UserError(f"{name} of a text is {getattr(self, name)!r}: give a whole number")
        for name in ("banned", "stops"):
            if not all(isinstance(number, Integral) for number in getattr(self, name)):
                raise UserError(f"{name} of a text is {getattr(self, name)!r}: give whole numbers")
        checks = (
            ("max_new", self.max_new >= 1, "write at least 1 token"),
            ("repetition_penalty", 0 < self.repetition_penalty < math.inf, "give a number above 0; 1 is none"),
            (
                "temperature",
                self.temperature == 0 or 1e-6 <= self.temperature < math.inf,
                "give 0 for the best token, or 0.000001 and more",
            ),
            ("top_k", self.top_k >= 0, "give 0 for no limit, or a number of tokens"),
            ("top_k", self.top_k == 0 or self.temperature > 0, "tokens are drawn at a temperature above 0; set one"),
            ("top_p", self.top_p == 1 or self.temperature > 0, "tokens are drawn at a temperature above 0; set one"),
            ("top_p", 0 < self.top_p <= 1, "give a number above 0 and up to 1, which is no limit"),
            ("beams", self.beams >= 1, "follow at least 1"),
            ("beams", self.beams == 1 or self.temperature == 0, "beams are not drawn; set temperature to 0"),
            ("length_penalty", math.isfinite(self.length_penalty), "give a number; 0 ranks by log p alone"),
            ("stops", not {*self.stops} & {*self.banned}, "an id that is banned cannot end a text; leave it out"),
        )
        for name, holds, advice in checks:
            if not holds:
                raise UserError(f"{name} of a text is {getattr(self, name)}: {advice}")


def next_scores(
    logits: Float[Array, "*texts padded"], seen: Bool[Array, "*texts vocabulary"], options: TextOptions
) -> Float[Array, "*texts vocabulary"]:
    """Logits of the next token after the repetition penalty, banned ids at -inf."""
    logits = logits[..., : seen.shape[-1]].astype(jnp.float32)
    penalised = jnp.where(logits < 0, logits * options.repetition_penalty, logits / options.repetition_penalty)
    scores = jnp.where(seen, penalised, logits)
    if not options.banned:
        return scores
    return jnp.where(jnp.isin(jnp.arange(seen.shape[-1]), jnp.array(options.banned)), -jnp.inf, scores)


def best_id(scores: Float[Array, "*texts vocabulary"]) -> Int[Array, "*texts"]:
    """The first best id; two passes over a large vocabulary are faster than an argmax."""
    ids = jnp.arange(scores.shape[-1])
    return jnp.where(scores == scores.max(axis=-1, keepdims=True), ids, ids[-1]).min(axis=-1)


def drawn(
    scores: Float[Array, "rows vocabulary"], seeds: Int[Array, "rows"], step: Int[Array, ""], options: TextOptions
) -> Int[Array, "rows"]:
    """The id that each request draws at a step."""
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), step))(seeds)
    if not 0 < options.top_k < scores.shape[1]:
        return jax.vmap(jax.random.categorical)(keys, tempered(scores, options))
    best, ids = jax.lax.top_k(scores, options.top_k)
    chosen = jax.vmap(jax.random.categorical)(keys, tempered(best, options))
    return jnp.take_along_axis(ids, chosen[:, None], axis=1)[:, 0]


def tempered(scores: Float[Array, "rows ids"], options: TextOptions) -> Float[Array, "rows ids"]:
    """Scores at a temperature, -inf but for the fewest best ones whose chances reach `top_p`."""
    # Of the differences to the best, a temperature near 0 makes nothing infinite that counts.
    scores = (scores - scores.max(axis=1, keepdims=True)) / options.temperature
    if options.top_p == 1:
        return scores
    chances = jax.nn.softmax(scores, axis=1)
    # Floats that are not negative are in the order of their bits: the lowest chance is found by halves, unsorted.
    bits = jax.lax.bitcast_convert_type(chances, jnp.int32)

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = low + (high - low) // 2
        reached = jnp.where(bits >= middle, chances, 0.0).sum(axis=1, keepdims=True) >= options.top_p
        return jnp.where(reached, middle, low), jnp.where(reached, high, middle)

    low = jnp.zeros_like(bits[:, :1])
    low, _ = jax.lax.fori_loop(0, 31, halve, (low, bits.max(axis=1, keepdims=True) + 1))
    return jnp.where(bits < low, -jnp.inf, scores)


def best_continuations(
    scores: Float[Array, "rows beams vocabulary"],
    total: Float[Array, "rows beams"],
    done: Bool[Array, "rows beams"],
) -> tuple[Int[Array, "rows beams"], Int[Array, "rows beams"], Float[Array, "rows beams"]]:
    """(the beam that each one continues, with which token, the new sum of log p).

    A text that has ended keeps a beam; the others go to the continuations of the highest sums, all of one length.
    """
    best, ids = jax.lax.top_k(jax.nn.log_softmax(scores, axis=-1), min(done.shape[1], scores.shape[2]))
    width = best.shape[2]
    stays = jnp.where(jnp.arange(width) == 0, 0.0, -jnp.inf)
    totals = total[..., None] + jnp.where(done[..., None], stays, best)
    rank = jnp.where(done[..., None] & jnp.isfinite(totals), jnp.inf, totals)
    _, chosen = jax.lax.top_k(rank.reshape(len(rank), -1), done.shape[1])
    token, total = (jnp.take_along_axis(x.reshape(len(x), -1), chosen, axis=1) for x in (ids, totals))
    return chosen // width, token, total


def ended(tokens: Int[Array, "*some"], options: TextOptions) -> Bool[Array, "*some"]:
    """Which ids end a text."""
    return jnp.isin(tokens, jnp.array([options.end, *options.stops], jnp.int32))


def lengths(tokens: Int[Array, "*texts tokens"], options: TextOptions) -> Int[Array, "*texts"]:
    """Tokens of each text with its end."""
    ends = ended(tokens, options)
    return jnp.where(ends.any(axis=-1), jnp.argmax(ends, axis=-1) + 1, tokens.shape[-1])
