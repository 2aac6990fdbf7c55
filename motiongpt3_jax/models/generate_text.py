"""Text generation: the decoding loop over a decode-step function, for greedy decoding, sampling and beam search."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.beam_search import (
    FinishedBeams,
    best_candidates,
    collect_finished,
    collect_full,
    no_finished_beams,
    surviving_beams,
)
from motiongpt3_jax.models.token_sampling import (
    TextOptions,
    argmax_token,
    beam_search_step,
    is_end,
    process_logits,
    sample_token,
    text_lengths,
)

Cache = Any
"""What a decode step hands to the next one: any pytree of arrays."""

DecodeStep = Callable[
    [
        Cache,
        Int[Array, "rows beams"],
        Int[Array, "rows beams"],
        Int[Array, ""],
        Bool[Array, "rows beams slots"] | None,
    ],
    tuple[Float[Array, "rows beams padded"], Cache],
]
"""(cache, tokens, their positions, slot of the cache where they go, slots of the cache that each may see at most; None
for all) -> (logits of the next tokens, the cache with these tokens written)."""


class Grammar(Protocol):
    """Constrained decoding: which ids may follow what has been written, as an automaton whose states are arrays."""

    def allowed(self, state: Any) -> Bool[Array, "rows vocabulary"]:
        """The ids that may follow, at least one."""

    def advance(self, state: Any, ids: Int[Array, "rows"]) -> Any:
        """The state behind these ids."""


def generate_text(
    logits: Float[Array, "rows padded"],
    cache: Cache,
    decode_step: DecodeStep,
    options: TextOptions,
    *,
    vocabulary: int,
    positions: Int[Array, "rows"],
    index: int,
    seeds: Int[Array, "rows"] | None = None,
    lengths: Int[Array, "rows"] | None = None,
    rooms: Int[Array, "rows"] | None = None,
    grammar: tuple[Grammar, Any] | None = None,
) -> Int[Array, "rows tokens"]:
    """Decodes until every text has ended, in one compiled loop; `end` fills what lies behind a text's end.

    Each new token goes to the next free slot of the cache, with its row's own position. Beams share their row's prompt;
    the one of the highest score is returned.

    Args:
      logits: what follows each prompt; ids from `vocabulary` on are padding.
      cache: the prompts' cache, with room for `options.cache_slots` more slots behind `index`.
      decode_step: runs the model on new tokens.
      options: how to choose them.
      vocabulary: how many ids there are.
      positions: of the first new token.
      index: slot of the cache where the first new token goes; the prompts lie before it.
      seeds: of the requests, for sampling alone; a text depends on its own row and seed.
      lengths: tokens of each text before its end, where it is to have exactly so many; 0 leaves that to the model.
      rooms: most tokens of each text, its end counted; None for `max_new` in all.
      grammar: what may follow, and its state before the first token of each row; not with beams.

    Raises:
      UserError: tokens are to be sampled, and there are no seeds; or beams are to keep to a grammar.
    """
    if grammar is not None and options.beams > 1:
        raise UserError(
            f"{options.beams} beams were asked for; what keeps to a grammar has one: sample it, or take the best"
        )
    if options.temperature and seeds is None:
        raise UserError(f"text at temperature {options.temperature} is drawn: give each request a seed")

    def unfinished(state: _State) -> Bool[Array, ""]:
        return (state.step < options.max_new) & ~(state.done | jnp.isneginf(state.total)).all()

    def step(state: _State) -> _State:
        return _step(decode_step, options, index, seeds, lengths, rooms, rules, state)

    rules, grammar_state = grammar or (None, None)
    start = _start(logits, cache, options, vocabulary, positions, index)
    start = replace(start, grammar=grammar_state)
    state = jax.lax.while_loop(unfinished, step, start)
    scores = state.total / text_lengths(state.tokens, options) ** options.length_penalty
    best = jnp.argmax(scores, axis=1)
    texts = jnp.take_along_axis(state.tokens, best[:, None, None], axis=1)[:, 0]
    if state.finished is None:
        return texts
    # What a row that is through was still following does not count.
    better = state.done.all(axis=1) | (state.finished.scores[:, 0] >= scores.max(axis=1))
    return jnp.where(better[:, None], state.finished.text, texts)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _State:
    """What one step of the loop hands to the next; without beam search there is one beam.

    Attributes:
      step: tokens of the texts so far.
      logits: of the next token.
      position: of the next token.
      tokens: the texts, then `end`.
      seen: ids that are in a text.
      done: whether the text has ended.
      total: sum of log p, -inf for a beam that holds nothing yet; not kept up without beam search.
      only: slots of the cache that a beam sees, its prompt and what it continues; None for one beam.
      cache: of the model.
      finished: finished hypotheses; None where they keep their beams.
      grammar: state of the grammar; None without one.
    """

    step: Int[Array, ""]
    logits: Float[Array, "rows beams padded"]
    position: Int[Array, "rows"]
    tokens: Int[Array, "rows beams tokens"]
    seen: Bool[Array, "rows beams vocabulary"]
    done: Bool[Array, "rows beams"]
    total: Float[Array, "rows beams"]
    only: Bool[Array, "rows beams slots"] | None
    cache: Cache
    finished: FinishedBeams | None
    grammar: Any = None


def _start(
    logits: Float[Array, "rows padded"],
    cache: Cache,
    options: TextOptions,
    vocabulary: int,
    positions: Int[Array, "rows"],
    index: int,
) -> _State:
    """The state before the first token; all but the first beam of a row hold nothing yet."""
    rows, beams, slots = len(logits), options.beams, index + options.cache_slots
    return _State(
        step=jnp.zeros((), jnp.int32),
        logits=jnp.broadcast_to(logits[:, None], (rows, beams, logits.shape[-1])),
        position=positions,
        tokens=jnp.full((rows, beams, options.max_new), options.end, jnp.int32),
        seen=jnp.zeros((rows, beams, vocabulary), bool),
        done=jnp.zeros((rows, beams), bool),
        total=jnp.where(jnp.arange(beams) == 0, 0.0, jnp.full((rows, beams), -jnp.inf)),
        only=jnp.broadcast_to(jnp.arange(slots) < index, (rows, beams, slots)) if beams > 1 else None,
        cache=cache,
        finished=no_finished_beams(rows, options) if options.collect_finished and beams > 1 else None,
    )


def _step(
    decode_step: DecodeStep,
    options: TextOptions,
    index: int,
    seeds: Int[Array, "rows"] | None,
    lengths: Int[Array, "rows"] | None,
    rooms: Int[Array, "rows"] | None,
    rules: Grammar | None,
    state: _State,
) -> _State:
    """One token more of every text."""
    full = jnp.zeros(len(state.done), bool) if rooms is None else state.step + 1 >= rooms
    index = index + state.step * options.beams
    lengths = None if lengths is None else jnp.broadcast_to(lengths[:, None], state.done.shape)
    scores = process_logits(state.logits, state.seen, state.step, options, lengths)
    if rules is not None:
        scores = jnp.where(rules.allowed(state.grammar)[:, None], scores, -jnp.inf)
    done = None
    if state.finished is not None:
        candidates = best_candidates(scores, state.total, options)
        finished, done = collect_finished(
            state.finished, candidates, state.tokens, state.step, state.done.all(axis=1), options
        )
        parents, token, total = surviving_beams(candidates, options)
        state = replace(_reorder_beams(state, parents, total, index), finished=finished)
    elif options.beams > 1:
        parents, token, total = beam_search_step(scores, state.total, state.done)
        state = _reorder_beams(state, parents, total, index)
    elif options.temperature:
        token = sample_token(scores[:, 0], seeds, state.step, options)[:, None]
    else:
        token = argmax_token(scores)
    token = jnp.where(state.done, options.end, token)
    tokens = state.tokens.at[:, :, state.step].set(token)
    if done is None:
        done = state.done | is_end(token, options) | full[:, None]
    elif rooms is not None:
        finished = collect_full(state.finished, state.total, tokens, state.step, full & ~done, options)
        state, done = replace(state, finished=finished), done | full
    positions = jnp.broadcast_to(state.position[:, None], token.shape)
    logits, cache = decode_step(state.cache, token, positions, index, state.only)
    return replace(
        state,
        step=state.step + 1,
        logits=logits,
        position=state.position + 1,
        tokens=tokens,
        seen=state.seen | (jnp.arange(state.seen.shape[2]) == token[..., None]),
        done=jnp.broadcast_to(done.reshape(len(done), -1), token.shape),
        cache=cache,
        grammar=None if rules is None else rules.advance(state.grammar, token[:, 0]),
    )


def _reorder_beams(
    state: _State, parents: Int[Array, "rows beams"], total: Float[Array, "rows beams"], index: Int[Array, ""]
) -> _State:
    """The beams in their new order. Their slots of the cache stay where they are: `only` says which are whose."""
    beams = jnp.arange(parents.shape[1])

    def of_parents(x: Array) -> Array:
        return jnp.take_along_axis(x, parents.reshape(*parents.shape, *[1] * (x.ndim - 2)), axis=1)

    return replace(
        state,
        tokens=of_parents(state.tokens),
        seen=of_parents(state.seen),
        done=of_parents(state.done),
        total=total,
        only=of_parents(state.only) | (jnp.arange(state.only.shape[2]) == index + beams[:, None]),
    )
