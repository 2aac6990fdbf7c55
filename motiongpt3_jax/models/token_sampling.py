"""Token sampling: greedy, temperature, top-k and top-p, beam search; banned, allowed and forced ids."""

import math
from dataclasses import dataclass
from numbers import Integral

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.errors import UserError


@dataclass(frozen=True)
class TextOptions:
    """Options of text generation: greedy decoding (as official), token sampling, or beam search.

    The logits go through the repetition penalty, `allowed`, `banned`, `forced`, the temperature, `top_k` and `top_p`,
    in this order.

    Attributes:
      end: id that ends a text.
      banned: ids that are never chosen.
      allowed: the only ids that are chosen, besides those that end a text; empty allows all.
      forced: ids that every text begins with, whatever their logits are, `banned` or not.
      max_new: longest text, in tokens (official: 40).
      min_new: tokens before which no text ends.
      repetition_penalty: divides (or multiplies, when negative) the logits of ids written before (official: 1.1).
      temperature: divides the logits of drawn tokens; 0 takes the best token.
      top_k: tokens are drawn from this many best ones; 0 is no limit (official demo: 50).
      top_p: tokens are drawn from the fewest best ones whose chances reach this sum.
      beams: texts of each row that are followed at once.
      length_penalty: a beam's score is the sum of its log p over its length to this power; its end counts.
      stops: further ids that end a text, and stay in it.
      collect_finished: whether a text that ends leaves its beam to others, as in transformers; else it keeps the beam.
      early_stopping: whether such a search ends as soon as as many texts have ended as there are beams.
    """

    end: int
    banned: tuple[int, ...] = ()
    allowed: tuple[int, ...] = ()
    forced: tuple[int, ...] = ()
    max_new: int = 40
    min_new: int = 0
    repetition_penalty: float = 1.1
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    beams: int = 1
    length_penalty: float = 1.0
    stops: tuple[int, ...] = ()
    collect_finished: bool = False
    early_stopping: bool = False

    def __post_init__(self) -> None:
        for name in ("max_new", "min_new", "top_k", "beams", "end"):
            if not isinstance(getattr(self, name), Integral):
                raise UserError(f"{name} of a text is {getattr(self, name)!r}: give a whole number")
        for name in ("banned", "allowed", "forced", "stops"):
            if not all(isinstance(number, Integral) for number in getattr(self, name)):
                raise UserError(f"{name} of a text is {getattr(self, name)!r}: give whole numbers")
        checks = (
            ("max_new", self.max_new >= 1, "write at least 1 token"),
            ("min_new", 0 <= self.min_new <= self.max_new, "give 0 or more, and max_new at most"),
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
            ("allowed", not {*self.allowed} & {*self.banned}, "an id that is banned cannot be chosen; leave it out"),
            ("forced", len(self.forced) <= self.max_new, "they are more tokens than max_new; give fewer"),
            ("forced", not {*self.forced[:-1]} & {self.end, *self.stops}, "nothing follows an id that ends a text"),
        )
        for name, holds, advice in checks:
            if not holds:
                raise UserError(f"{name} of a text is {getattr(self, name)}: {advice}")

    @property
    def ends(self) -> tuple[int, ...]:
        """Ids that end a text."""
        return (self.end, *self.stops)

    @property
    def cache_slots(self) -> int:
        """How many slots generation writes into the KV cache of a row."""
        return self.beams * self.max_new


def process_logits(
    logits: Float[Array, "*texts padded"],
    seen: Bool[Array, "*texts vocabulary"],
    step: Int[Array, ""],
    options: TextOptions,
    lengths: Int[Array, "*texts"] | None = None,
) -> Float[Array, "*texts vocabulary"]:
    """Logits processors: repetition penalty, then -inf for ids that are banned, not allowed, or not the forced one.

    An end that is too early is not allowed either, and where a text has its length its end is forced.

    Args:
      logits: of the next token.
      seen: ids that are in the text already.
      step: tokens of the text, from 0.
      options: what is banned, allowed and forced.
      lengths: tokens of each text before its end, where it is to have exactly so many; 0 leaves its end open.
    """
    logits = logits[..., : seen.shape[-1]].astype(jnp.float32)
    penalised = jnp.where(logits < 0, logits * options.repetition_penalty, logits / options.repetition_penalty)
    scores = jnp.where(seen, penalised, logits)
    # The options are known when a program is traced, so its masks are constants.
    ids = np.arange(seen.shape[-1])
    if options.allowed:
        scores = jnp.where(np.isin(ids, [*options.allowed, *options.ends]), scores, -jnp.inf)
    if options.banned:
        scores = jnp.where(np.isin(ids, options.banned), -jnp.inf, scores)
    if options.min_new or lengths is not None:
        scores = _end_in_time(scores, ids, step, options, lengths)
    if not options.forced:
        return scores
    forced = jnp.array(options.forced)
    only = jnp.where(ids == forced[jnp.minimum(step, len(forced) - 1)], 0.0, -jnp.inf)
    return jnp.where(step < len(forced), only, scores)


def _end_in_time(
    scores: Float[Array, "*texts vocabulary"],
    ids: Int[np.ndarray, "vocabulary"],
    step: Int[Array, ""],
    options: TextOptions,
    lengths: Int[Array, "*texts"] | None,
) -> Float[Array, "*texts vocabulary"]:
    """Scores without the ends of texts that are too short yet, and with the end alone where a text has its length."""
    lengths = jnp.zeros(scores.shape[:-1], jnp.int32) if lengths is None else lengths
    early = step < jnp.maximum(lengths, options.min_new)
    late = (lengths > 0) & (step >= lengths)
    ends = np.isin(ids, options.ends)
    scores = jnp.where(early[..., None] & ends, -jnp.inf, scores)
    return jnp.where(late[..., None], jnp.where(ids == options.end, 0.0, -jnp.inf), scores)


def argmax_token(scores: Float[Array, "*texts vocabulary"]) -> Int[Array, "*texts"]:
    """Greedy decoding: the first best id; two passes over a large vocabulary are faster than an argmax."""
    ids = jnp.arange(scores.shape[-1])
    return jnp.where(scores == scores.max(axis=-1, keepdims=True), ids, ids[-1]).min(axis=-1)


def sample_token(
    scores: Float[Array, "rows vocabulary"], seeds: Int[Array, "rows"], step: Int[Array, ""], options: TextOptions
) -> Int[Array, "rows"]:
    """Samples each request's token of a step at the temperature, from its `top_k` and `top_p`."""
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), step))(seeds)
    if not 0 < options.top_k < scores.shape[1]:
        return jax.vmap(jax.random.categorical)(keys, top_p_logits(scores, options))
    best, ids = jax.lax.top_k(scores, options.top_k)
    chosen = jax.vmap(jax.random.categorical)(keys, top_p_logits(best, options))
    return jnp.take_along_axis(ids, chosen[:, None], axis=1)[:, 0]


def top_p_logits(scores: Float[Array, "rows ids"], options: TextOptions) -> Float[Array, "rows ids"]:
    """Top-p (nucleus) filter at a temperature: -inf but for the fewest best ids whose chances reach `top_p`."""
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


def beam_search_step(
    scores: Float[Array, "rows beams vocabulary"],
    total: Float[Array, "rows beams"],
    done: Bool[Array, "rows beams"],
) -> tuple[Int[Array, "rows beams"], Int[Array, "rows beams"], Float[Array, "rows beams"]]:
    """Beam search step: (the beam that each one continues, with which token, the new sum of log p).

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


def is_end(tokens: Int[Array, "*some"], options: TextOptions) -> Bool[Array, "*some"]:
    """Which ids end a text."""
    return jnp.isin(tokens, jnp.array(options.ends, jnp.int32))


def text_lengths(tokens: Int[Array, "*texts tokens"], options: TextOptions) -> Int[Array, "*texts"]:
    """Tokens of each text with its end."""
    ends = is_end(tokens, options)
    return jnp.where(ends.any(axis=-1), jnp.argmax(ends, axis=-1) + 1, tokens.shape[-1])
