"""Streams: one modality's slots of a packed sequence, and which slots see which."""

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
      keys, values: of every layer.
      positions, segments, attended: as in `Stream`; a reserved slot has `attended=False`.
    """

    keys: Float[Array, "layers batch slots heads head_width"]
    values: Float[Array, "layers batch slots heads head_width"]
    positions: Int[Array, "batch slots"]
    segments: Int[Array, "batch slots"]
    attended: Bool[Array, "batch slots"]


def visible(query: Stream | Memory, key: Stream | Memory) -> Bool[Array, "batch queries keys"]:
    """Which keys each query may attend to: its own sequence, itself and what came before."""
    same = query.segments[:, :, None] == key.segments[:, None, :]
    past = query.positions[:, :, None] >= key.positions[:, None, :]
    return same & past & key.attended[:, None, :]
