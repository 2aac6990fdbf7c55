"""Streams: one modality's slots of a packed sequence, which slots see which, and what they leave for later ones."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int


class Stream(struct.PyTreeNode):
    """One modality's slots of a packed sequence.

    Attributes:
      embeddings: slot contents; padding slots hold zeros.
      positions: place of each slot in its interleaved sequence, from 0.
      segments: which sequence of the row a slot belongs to; 0 is padding.
      attended: whether the slot may be a key; others may still query.
    """

    embeddings: Float[Array, "batch slots width"]
    positions: Int[Array, "batch slots"]
    segments: Int[Array, "batch slots"]
    attended: Bool[Array, "batch slots"]


class Memory(struct.PyTreeNode):
    """What a stream's slots leave for later queries.

    Attributes:
      keys, values: one array a layer.
      positions, segments, attended: as in `Stream`; a reserved slot has `attended=False`.
    """

    keys: list[Float[Array, "batch heads slots head_width"]]
    values: list[Float[Array, "batch heads slots head_width"]]
    positions: Int[Array, "batch slots"]
    segments: Int[Array, "batch slots"]
    attended: Bool[Array, "batch slots"]


def visible(query: Stream | Memory, key: Stream | Memory) -> Bool[Array, "batch queries keys"]:
    """Which keys each query may attend to: its own sequence, itself and what came before."""
    same = query.segments[:, :, None] == key.segments[:, None, :]
    past = query.positions[:, :, None] >= key.positions[:, None, :]
    return same & past & key.attended[:, None, :]


def reserve(memory: Memory, slots: int) -> Memory:
    """The memory with room for that many more slots, which nothing sees until they are written."""

    def longer(x: Array) -> Array:
        return jnp.pad(x, [(0, slots if axis == _slots_axis(x) else 0) for axis in range(x.ndim)])

    return jax.tree.map(longer, memory)


def marked(memory: Memory, stream: Stream, write_at: Int[Array, ""]) -> Memory:
    """The memory with what is known of a stream's slots; their keys and values are each layer's to write."""
    fields = ("positions", "segments", "attended")
    return memory.replace(**{name: put(getattr(memory, name), getattr(stream, name), write_at) for name in fields})


def put(old: Array, new: Array, write_at: Int[Array, ""]) -> Array:
    """An array of a memory with new slots in place."""
    return jax.lax.dynamic_update_slice_in_dim(old, new.astype(old.dtype), write_at, _slots_axis(old))


def _slots_axis(x: Array) -> int:
    return 2 if x.ndim == 4 else 1
