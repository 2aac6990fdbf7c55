"""Attention masks of all streams: built once for a batch, and cut for each layer by its sharing and its window."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.attention_kernels import NO_SEGMENT, KeyRanges, Segments
from motiongpt3_jax.models.decoder_config import DecoderConfig, LayerValues
from motiongpt3_jax.models.streams import KVCache, Stream, visible


class Masks(NamedTuple):
    """What each query attends to.

    Attributes:
      seen: which keys it sees, in a layer that shares attention and has no window.
      same: which of them are of its own stream.
      memory: which slots of the memory it sees; None without one.
      bias: what is added to the scores; None for nothing.
      trained: for streams in which gradients pass some slots alone, which those are; None where there is no stream.
      segments: of all slots, for splash attention; None where it is not used.
      positions: of queries and of keys, where layers have windows; None where none has one.
    """

    seen: Bool[Array, "batch queries keys"]
    same: Bool[Array, "queries keys"]
    memory: Bool[Array, "batch queries slots"] | None = None
    bias: Float[Array, "batch heads queries keys"] | None = None
    trained: dict[str, Bool[Array, "batch slots"]] | None = None
    segments: Segments | None = None
    positions: tuple[Int[Array, "batch queries"], Int[Array, "batch keys"]] | None = None


def layer_mask(masks: Masks, values: LayerValues) -> Bool[Array, "batch queries keys"]:
    """The attention mask of one layer: the own stream alone where it does not share, no farther than its window."""
    seen = masks.seen & (values.shared | masks.same)
    if values.window is None:
        return seen
    queries, keys = masks.positions
    return seen & (queries[:, :, None] - keys[:, None, :] < values.window)


def joined_positions(config: DecoderConfig, streams: Mapping[str, Stream | KVCache]) -> Int[Array, "batch slots"]:
    """Positions of the slots of all streams, in the config's order."""
    return jnp.concatenate([streams[s.name].positions for s in config.streams if s.name in streams], axis=1)


def key_ranges(config: DecoderConfig, streams: Mapping[str, Array]) -> KeyRanges:
    """How splash attention is told which keys a query sees.

    Args:
      config: the decoder's.
      streams: arrays (batch, slots, ...).
    """
    slots = tuple(streams[s.name].shape[1] for s in config.streams if s.name in streams)
    return KeyRanges(slots, any(window and window < sum(slots) for window in config.windows))


def joined_segments(config: DecoderConfig, streams: Mapping[str, Stream]) -> Segments:
    """Segments of the slots of all streams, in the config's order."""
    present = [streams[s.name] for s in config.streams if s.name in streams]
    keys = [jnp.where(stream.attended, stream.segments, NO_SEGMENT) for stream in present]
    return Segments(jnp.concatenate([stream.segments for stream in present], axis=1), jnp.concatenate(keys, axis=1))


def visibility(
    config: DecoderConfig,
    queries: Mapping[str, Stream],
    keys: Mapping[str, Stream | KVCache],
    only: Mapping[str, Bool[Array, "batch queries slots"]] | None = None,
    memory: Stream | KVCache | None = None,
) -> Masks:
    """Attention masks of queries and keys in the config's order.

    Args:
      config: the decoder's.
      queries, keys: the streams of both.
      only: slots of a stream of keys that each query may see at most.
      memory: what layers cross-attend to.

    Raises:
      UserError: there is a memory and no layer reads it, or none where all do.
    """
    if config.cross != (memory is not None):
        wants, has = ("a memory", "none") if config.cross else ("no memory", "one")
        raise UserError(f"the decoder cross-attends to {wants}, and was given {has}")
    rows, columns = ([s.name for s in config.streams if s.name in side] for side in (queries, keys))
    seen = {
        c: jnp.concatenate([visible(queries[row], keys[c], config.causal) for row in rows], axis=1) for c in columns
    }
    for name, allowed in (only or {}).items():
        seen[name] &= allowed
    slots = {c: keys[c].positions.shape[1] for c in columns}
    same = [[np.full((queries[row].positions.shape[1], slots[c]), row == c) for c in columns] for row in rows]
    read = None if memory is None else jnp.concatenate([visible(queries[row], memory, False) for row in rows], axis=1)
    places = None
    if any(config.windows):
        places = joined_positions(config, queries), joined_positions(config, keys)
    every = jnp.concatenate([seen[c] for c in columns], axis=2)
    return Masks(every, jnp.asarray(np.block(same)), read, positions=places)
