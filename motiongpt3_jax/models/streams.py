"""Streams: one modality's slots of a packed sequence, the attention mask between them, and their KV cache."""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, Shaped


class Stream(struct.PyTreeNode):
    """One modality's slots of packed sequences; those of each sequence lie in the order of their positions.

    Attributes:
      embeddings: slot contents; padding slots hold zeros.
      positions: place of each slot in its interleaved sequence, from 0.
      segments: which sequence of the row a slot belongs to; 0 is padding.
      attended: whether the slot may be a key; others may still query.
      trained: whether gradients pass through the slot's hidden states; None for all slots. It pays off where those
        slots come last, and the stream's parameters are frozen.
    """

    embeddings: Float[Array, "batch slots width"]
    positions: Int[Array, "batch slots"]
    segments: Int[Array, "batch slots"]
    attended: Bool[Array, "batch slots"]
    trained: Bool[Array, "batch slots"] | None = None


def stop_untrained(x: Float[Array, "batch slots ..."], trained: Bool[Array, "batch slots"] | None) -> Array:
    """`stop_gradient` on the slots that are not trained."""
    if trained is None:
        return x
    return jnp.where(trained.reshape(*trained.shape, *(1,) * (x.ndim - 2)), x, jax.lax.stop_gradient(x))


class KVCache(struct.PyTreeNode):
    """KV cache of one stream: what its slots leave for later queries.

    Attributes:
      keys, values: one array a layer.
      positions, segments, attended: as in `Stream`; a slot that holds nothing yet has `attended=False`.
    """

    keys: list[Float[Array, "batch heads slots head_width"]]
    values: list[Float[Array, "batch heads slots head_width"]]
    positions: Int[Array, "batch slots"]
    segments: Int[Array, "batch slots"]
    attended: Bool[Array, "batch slots"]


def visible(query: Stream | KVCache, key: Stream | KVCache, causal: bool = True) -> Bool[Array, "batch queries keys"]:
    """Attention mask: each query may attend to its own sequence, to itself and to what came before.

    Args:
      query: who attends.
      key: what to.
      causal: False to attend to what comes after too, or to another sequence of the segment.
    """
    same = query.segments[:, :, None] == key.segments[:, None, :]
    if not causal:
        return same & key.attended[:, None, :]
    past = query.positions[:, :, None] >= key.positions[:, None, :]
    return same & past & key.attended[:, None, :]


def grow(cache: KVCache, slots: int) -> KVCache:
    """The KV cache with that many more slots, which no query sees until they are written."""

    def pad(x: Array) -> Array:
        return jnp.pad(x, [(0, slots if axis == _slots_axis(x) else 0) for axis in range(x.ndim)])

    return jax.tree.map(pad, cache)


def update_slots(cache: KVCache, stream: Stream, index: Int[Array, ""]) -> KVCache:
    """The KV cache with positions, segments and mask of a stream's slots from slot `index` on.

    Their keys and values are each layer's to write, by `update_slice`.
    """
    fields = ("positions", "segments", "attended")
    new = {name: update_slice(getattr(cache, name), getattr(stream, name), index) for name in fields}
    return cache.replace(**new)


def update_slice(old: Array, new: Array, index: Int[Array, ""]) -> Array:
    """An array of a KV cache with new slots from slot `index` on."""
    return jax.lax.dynamic_update_slice_in_dim(old, new.astype(old.dtype), index, _slots_axis(old))


def unpack_slots(
    x: Shaped[Array, "batch slots *rest"], places: Int[Array, "sequences length"]
) -> Shaped[Array, "sequences length *rest"]:
    """The slots of packed rows as one sequence a row.

    Args:
      x: whatever slots hold.
      places: each sequence's slots, counted through all rows; -1 where it has no more, which then hold zeros.
    """
    taken = jnp.take(x.reshape(-1, *x.shape[2:]), jnp.maximum(places, 0), axis=0)
    return jnp.where((places >= 0).reshape(*places.shape, *(1,) * (x.ndim - 2)), taken, jnp.zeros((), x.dtype))


def unpack_cache(cache: KVCache, places: Int[Array, "sequences length"]) -> KVCache:
    """The KV cache of packed prompts as one prompt a row, each its row's segment 1; see `unpack_slots`."""

    def of_heads(x: Array) -> Array:
        return jnp.swapaxes(unpack_slots(jnp.swapaxes(x, 1, 2), places), 1, 2)

    return KVCache(
        keys=[of_heads(x) for x in cache.keys],
        values=[of_heads(x) for x in cache.values],
        positions=unpack_slots(cache.positions, places),
        segments=(places >= 0).astype(cache.segments.dtype),
        attended=unpack_slots(cache.attended, places),
    )


def _slots_axis(x: Array) -> int:
    return 2 if x.ndim == 4 else 1
