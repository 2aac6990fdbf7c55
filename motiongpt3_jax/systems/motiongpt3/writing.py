"""Texts, token by token in one compiled loop."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.batch import Batch, StreamSlots
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models import Memory, Stream, by_layer, further, read, reserve
from motiongpt3_jax.systems.interface import Tree, Variables
from motiongpt3_jax.systems.motiongpt3.choosing import (
    TextOptions,
    best_continuations,
    best_id,
    drawn,
    ended,
    lengths,
    next_scores,
)
from motiongpt3_jax.systems.motiongpt3.forward import streams
from motiongpt3_jax.systems.motiongpt3.modules import Modules


def write_text(
    modules: Modules,
    variables: Variables,
    batch: Batch,
    options: TextOptions,
    latents: Float[Array, "rows clips latents width"] | None = None,
    seeds: Int[Array, "rows"] | None = None,
) -> Int[Array, "rows tokens"]:
    """Continuation of every row's prompt; `end` fills what lies behind a text's end.

    The prompt is read once; each new token goes to the next reserved slot of the text memory, with its row's own
    position. Beams share their row's prompt; the one of the highest score is returned. The loop stops when every text
    has ended.

    Args:
      modules: the model's parts.
      variables: its arrays.
      batch: one request a row.
      options: how to write.
      latents: of the input clips, see `respond.understand`; None where none enters.
      seeds: of the requests, for drawn tokens alone; a text depends on its own row and seed.

    Raises:
      UserError: tokens are to be drawn, and there are no seeds.
    """
    if options.temperature and seeds is None:
        raise UserError(f"text at temperature {options.temperature} is drawn: give each request a seed")
    params, slots = variables.params, batch.streams["text"].ids.shape[1]
    state = _begin(modules, params, batch, options, latents)
    params = {**params, "decoder": by_layer(params["decoder"])}

    def more(state: _Writing) -> Array:
        return (state.step < options.max_new) & ~(state.done | jnp.isneginf(state.total)).all()

    def write(state: _Writing) -> _Writing:
        return _write_one(modules, params, options, slots, seeds, state)

    state = jax.lax.while_loop(more, write, state)
    best = jnp.argmax(state.total / lengths(state.tokens, options) ** options.length_penalty, axis=1)
    return jnp.take_along_axis(state.tokens, best[:, None, None], axis=1)[:, 0]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Writing:
    """What one step of writing hands to the next; without a search there is one beam.

    Attributes:
      step: tokens written.
      hidden: of the last slot.
      position: of the next slot.
      tokens: what is written, then `end`.
      seen: ids that are written.
      done: whether the text has ended.
      total: sum of log p, -inf for a beam that holds nothing yet; not kept up without a search.
      own: slots of the text memory that are the beam's own, the prompt and what it continues; None for one beam.
      memory: of the decoder.
    """

    step: Int[Array, ""]
    hidden: Float[Array, "rows beams width"]
    position: Int[Array, "rows"]
    tokens: Int[Array, "rows beams tokens"]
    seen: Bool[Array, "rows beams vocabulary"]
    done: Bool[Array, "rows beams"]
    total: Float[Array, "rows beams"]
    own: Bool[Array, "rows beams slots"] | None
    memory: dict[str, Memory]


def _begin(
    modules: Modules,
    params: Tree,
    batch: Batch,
    options: TextOptions,
    latents: Float[Array, "rows clips latents width"] | None,
) -> _Writing:
    """The prompts read; all but the first beam of a row hold nothing yet."""
    hidden, memory = read(modules.decoder, params["decoder"], streams(modules, params, batch, latents))
    rows, slots = batch.streams["text"].ids.shape
    beams, room = options.beams, options.beams * options.max_new
    last = (batch.streams["text"].segments > 0).sum(axis=1) - 1
    hidden = jnp.take_along_axis(hidden["text"], last[:, None, None], axis=1)
    return _Writing(
        step=jnp.zeros((), jnp.int32),
        hidden=jnp.repeat(hidden, beams, axis=1),
        position=jnp.max(jnp.stack([_last_position(s) for s in batch.streams.values()]), axis=0) + 1,
        tokens=jnp.full((rows, beams, options.max_new), options.end, jnp.int32),
        seen=jnp.zeros((rows, beams, modules.config.vocabulary + modules.config.new_ids), bool),
        done=jnp.zeros((rows, beams), bool),
        total=jnp.where(jnp.arange(beams) == 0, 0.0, jnp.full((rows, beams), -jnp.inf)),
        own=jnp.broadcast_to(jnp.arange(slots + room) < slots, (rows, beams, slots + room)) if beams > 1 else None,
        memory={**memory, "text": reserve(memory["text"], room)},
    )


def _write_one(
    modules: Modules,
    params: Tree,
    options: TextOptions,
    slots: int,
    seeds: Int[Array, "rows"] | None,
    state: _Writing,
) -> _Writing:
    text, write_at = {"params": params["vocabulary"]["text"]}, slots + state.step * options.beams
    scores = next_scores(modules.text.apply(text, state.hidden, method="logits"), state.seen, options)
    if options.beams > 1:
        parents, token, total = best_continuations(scores, state.total, state.done)
        state = _continued(state, parents, total, write_at)
    elif options.temperature:
        token = drawn(scores[:, 0], seeds, state.step, options)[:, None]
    else:
        token = best_id(scores)
    token = jnp.where(state.done, options.end, token)
    query = Stream(
        embeddings=modules.text.apply(text, token, method="embed"),
        positions=jnp.broadcast_to(state.position[:, None], token.shape),
        segments=jnp.ones_like(token),
        attended=jnp.ones_like(token, bool),
    )
    only = None if state.own is None else {"text": state.own}
    hidden, memory = further(modules.decoder, params["decoder"], {"text": query}, state.memory, write_at, only)
    return replace(
        state,
        step=state.step + 1,
        hidden=hidden["text"],
        position=state.position + 1,
        tokens=state.tokens.at[:, :, state.step].set(token),
        seen=state.seen | (jnp.arange(state.seen.shape[2]) == token[..., None]),
        done=state.done | ended(token, options),
        memory=memory,
    )


def _continued(
    state: _Writing, parents: Int[Array, "rows beams"], total: Float[Array, "rows beams"], write_at: Int[Array, ""]
) -> _Writing:
    """The beams in their new order. Their memories stay where they are: each knows which slots are its own."""
    beams = jnp.arange(parents.shape[1])

    def of_parents(x: Array) -> Array:
        return jnp.take_along_axis(x, parents.reshape(*parents.shape, *[1] * (x.ndim - 2)), axis=1)

    return replace(
        state,
        tokens=of_parents(state.tokens),
        seen=of_parents(state.seen),
        done=of_parents(state.done),
        total=total,
        own=of_parents(state.own) | (jnp.arange(state.own.shape[2]) == write_at + beams[:, None]),
    )


def _last_position(slots: StreamSlots) -> Int[Array, "rows"]:
    return jnp.where(slots.segments > 0, slots.positions, -1).max(axis=1, initial=-1)
