"""Texts, token by token in one compiled loop: the best token, a drawn one, or a search with beams."""

import math
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.models import Memory, Stream, reserve, taken
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3.forward import streams
from motiongpt3_jax.systems.motiongpt3.modules import Modules
from motiongpt3_jax.systems.motiongpt3.respond import understand

Tree = Any


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
        checks = (
            ("max_new", self.max_new >= 1, "write at least 1 token"),
            ("repetition_penalty", 0 < self.repetition_penalty < math.inf, "give a number above 0; 1 is none"),
            ("temperature", 0 <= self.temperature < math.inf, "give 0 for the best token, or a number above it"),
            ("top_k", self.top_k >= 0, "give 0 for no limit, or a number of tokens"),
            ("top_p", 0 < self.top_p <= 1, "give a number above 0 and up to 1, which is no limit"),
            ("beams", self.beams >= 1, "follow at least 1"),
            ("beams", self.beams == 1 or self.temperature == 0, "beams are not drawn; set temperature to 0"),
            ("length_penalty", math.isfinite(self.length_penalty), "give a number; 0 ranks by log p alone"),
            ("stops", not {*self.stops} & {*self.banned}, "an id that is banned cannot end a text; leave it out"),
        )
        for name, holds, advice in checks:
            if not holds:
                raise ValueError(f"{name} of a text is {getattr(self, name)}: {advice}")


def write_text(
    modules: Modules,
    variables: Variables,
    batch: Batch,
    options: TextOptions,
    seeds: Int[Array, "rows"] | None = None,
    clip_noise: Float[Array, "rows clips latents width"] | None = None,
) -> Int[Array, "rows tokens"]:
    """Continuation of every row's prompt; `end` fills what lies behind a text's end.

    The prompt is read once; each new token goes to the next reserved slot of the text memory, with its row's own
    position. The loop stops when every text has ended.

    Args:
      modules: the model's parts.
      variables: its arrays.
      batch: one request a row.
      options: how to write.
      seeds: of the requests, for drawn tokens alone; a text depends on its own row and seed.
      clip_noise: standard normals of the input clips' posteriors; None takes the means.

    Raises:
      ValueError: tokens are to be drawn, and there are no seeds.
    """
    if options.temperature and seeds is None:
        raise ValueError(f"text at temperature {options.temperature} is drawn: give each request a seed")
    params, slots = variables.params, batch.streams["text"].ids.shape[1]
    state = _begin(modules, params, batch, options, understand(modules, variables, batch, clip_noise))

    def more(state: _Writing) -> Array:
        return (state.step < options.max_new) & ~(state.done | jnp.isneginf(state.total)).all()

    def write(state: _Writing) -> _Writing:
        return _write_one(modules, params, options, slots, seeds, state)

    state = jax.lax.while_loop(more, write, state)
    if options.beams == 1:
        return state.tokens
    scores = state.total / _lengths(state.tokens, options) ** options.length_penalty
    best = jnp.argmax(scores.reshape(-1, options.beams), axis=1)
    return state.tokens[_texts(best[:, None], options.beams)]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Writing:
    """What one step of writing hands to the next; a row's beams are texts side by side.

    Attributes:
      step: tokens written.
      hidden: of the last slot.
      position: of the next slot.
      tokens: what is written, then `end`.
      seen: ids that are written.
      done: whether the text has ended.
      total: sum of log p, -inf for a beam that holds nothing yet; not kept up without a search.
      memory: of the decoder.
    """

    step: Int[Array, ""]
    hidden: Float[Array, "texts width"]
    position: Int[Array, "texts"]
    tokens: Int[Array, "texts tokens"]
    seen: Bool[Array, "texts vocabulary"]
    done: Bool[Array, "texts"]
    total: Float[Array, "texts"]
    memory: dict[str, Memory]


def _begin(
    modules: Modules,
    params: Tree,
    batch: Batch,
    options: TextOptions,
    latents: Float[Array, "rows clips latents width"] | None,
) -> _Writing:
    """The prompts read; in each row but the first beam holds nothing yet."""
    hidden, memory = modules.decoder.apply(
        {"params": params["decoder"]}, streams(modules, params, batch, latents), return_memory=True
    )
    last = (batch.streams["text"].segments > 0).sum(axis=1) - 1
    hidden = jnp.take_along_axis(hidden["text"], last[:, None, None], axis=1)[:, 0]
    position = jnp.max(jnp.stack([_last_position(s) for s in batch.streams.values()]), axis=0) + 1
    texts = jnp.repeat(jnp.arange(len(last)), options.beams)
    if options.beams > 1:
        hidden, position = hidden[texts], position[texts]
        memory = {name: taken(held, texts) for name, held in memory.items()}
    return _Writing(
        step=jnp.zeros((), jnp.int32),
        hidden=hidden,
        position=position,
        tokens=jnp.full((len(texts), options.max_new), options.end, jnp.int32),
        seen=jnp.zeros((len(texts), modules.config.vocabulary + modules.config.new_ids), bool),
        done=jnp.zeros(len(texts), bool),
        total=jnp.where(jnp.arange(len(texts)) % options.beams == 0, 0.0, -jnp.inf),
        memory={**memory, "text": reserve(memory["text"], options.max_new)},
    )


def _write_one(
    modules: Modules,
    params: Tree,
    options: TextOptions,
    slots: int,
    seeds: Int[Array, "rows"] | None,
    state: _Writing,
) -> _Writing:
    text = {"params": params["vocabulary"]["text"]}
    scores = next_scores(modules.text.apply(text, state.hidden, method="logits"), state.seen, options)
    if options.beams > 1:
        parents, token, total = best_continuations(scores, state.total, state.done, options)
        state = _continued(state, parents, total, slots)
    elif options.temperature:
        keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), state.step))(seeds)
        token = jax.vmap(jax.random.categorical)(keys, scores)
    else:
        token = jnp.argmax(scores, axis=-1)
    token = jnp.where(state.done, options.end, token)
    query = Stream(
        embeddings=modules.text.apply(text, token[:, None], method="embed"),
        positions=state.position[:, None],
        segments=jnp.ones_like(token)[:, None],
        attended=jnp.ones_like(token, bool)[:, None],
    )
    hidden, memory = modules.decoder.apply(
        {"params": params["decoder"]}, {"text": query}, memory=state.memory, write_at=slots + state.step
    )
    return _Writing(
        step=state.step + 1,
        hidden=hidden["text"][:, 0],
        position=state.position + 1,
        tokens=state.tokens.at[:, state.step].set(token),
        seen=state.seen | (jnp.arange(state.seen.shape[1]) == token[:, None]),
        done=state.done | _ends(token, options),
        total=state.total,
        memory=memory,
    )


def next_scores(
    logits: Float[Array, "texts padded"], seen: Bool[Array, "texts vocabulary"], options: TextOptions
) -> Float[Array, "texts vocabulary"]:
    """Logits from which the next token is chosen, -inf where it must not be."""
    logits = logits[:, : seen.shape[1]].astype(jnp.float32)
    penalised = jnp.where(logits < 0, logits * options.repetition_penalty, logits / options.repetition_penalty)
    scores = jnp.where(seen, penalised, logits)
    if options.banned:
        scores = scores.at[:, jnp.array(options.banned, jnp.int32)].set(-jnp.inf)
    if not options.temperature:
        return scores
    # Of the differences to the best, a temperature near 0 makes nothing infinite that counts.
    scores = (scores - scores.max(axis=1, keepdims=True)) / options.temperature
    limit = min(options.top_k or scores.shape[1], scores.shape[1])
    if limit == scores.shape[1] and options.top_p == 1:
        return scores
    ranked, _ = jax.lax.top_k(scores, limit)
    chances = jax.nn.softmax(ranked, axis=1)
    better = jnp.cumsum(chances, axis=1) - chances
    worst = jnp.where(better < options.top_p, ranked, jnp.inf).min(axis=1, keepdims=True)
    return jnp.where(scores < worst, -jnp.inf, scores)


def best_continuations(
    scores: Float[Array, "texts vocabulary"],
    total: Float[Array, "texts"],
    done: Bool[Array, "texts"],
    options: TextOptions,
) -> tuple[Int[Array, "texts"], Int[Array, "texts"], Float[Array, "texts"]]:
    """(the text that each beam continues, with which token, the new sum of log p), best first in each row.

    A text that has ended keeps a beam; the others go to the continuations of the highest sums, all of one length.
    """
    best, ids = jax.lax.top_k(jax.nn.log_softmax(scores, axis=1), min(options.beams, scores.shape[1]))
    stays = jnp.where(jnp.arange(best.shape[1]) == 0, 0.0, -jnp.inf)
    totals = total[:, None] + jnp.where(done[:, None], stays, best)
    rank = jnp.where(done[:, None] & jnp.isfinite(totals), jnp.inf, totals)
    _, chosen = jax.lax.top_k(rank.reshape(-1, options.beams * best.shape[1]), options.beams)
    parents = _texts(chosen // best.shape[1], options.beams)
    place = (parents, (chosen % best.shape[1]).reshape(-1))
    return parents, ids[place], totals[place]


def _continued(state: _Writing, parents: Int[Array, "texts"], total: Float[Array, "texts"], slots: int) -> _Writing:
    """The texts in their new order; the prompt, which a row's beams share, stays in the memory as it is."""
    return replace(
        state,
        tokens=state.tokens[parents],
        seen=state.seen[parents],
        done=state.done[parents],
        total=total,
        memory={**state.memory, "text": taken(state.memory["text"], parents, slots)},
    )


def _texts(beam: Int[Array, "rows some"], beams: int) -> Int[Array, "texts"]:
    """Where the rows' beams lie among all texts."""
    return (beam + beams * jnp.arange(len(beam))[:, None]).reshape(-1)


def _ends(tokens: Int[Array, "*some"], options: TextOptions) -> Bool[Array, "*some"]:
    return jnp.isin(tokens, jnp.array([options.end, *options.stops], jnp.int32))


def _lengths(tokens: Int[Array, "texts tokens"], options: TextOptions) -> Int[Array, "texts"]:
    """Tokens of each text with its end."""
    ends = _ends(tokens, options)
    return jnp.where(ends.any(axis=1), jnp.argmax(ends, axis=1) + 1, tokens.shape[1])


def _last_position(slots: Any) -> Int[Array, "rows"]:
    return jnp.where(slots.segments > 0, slots.positions, -1).max(axis=1, initial=-1)
