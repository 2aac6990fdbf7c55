"""Memories of a decoder: room for more slots, what is written into them, which rows they belong to."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from motiongpt3_jax.models.streams import Memory

BATCH = {"keys": 1, "values": 1, "positions": 0, "segments": 0, "attended": 0}
"""The batch axis of a memory's arrays; the slots' axis comes next."""


def reserve(memory: Memory, slots: int) -> Memory:
    """The memory with room for that many more slots, which nothing sees until they are written."""

    def longer(x: Array, batch: int) -> Array:
        return jnp.pad(x, [(0, slots if axis == batch + 1 else 0) for axis in range(x.ndim)])

    return _changed(longer, memory)


def written(memory: Memory, new: Memory, write_at: Int[Array, ""]) -> Memory:
    """The memory with new slots in place."""

    def write(old: Array, batch: int, new: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(old, new.astype(old.dtype), write_at, batch + 1)

    return _changed(write, memory, new)


def taken(memory: Memory, rows: Int[Array, "taken"], start: int = 0) -> Memory:
    """The memory of other rows, from slot `start` on; the slots before it stay as they are."""

    def take(x: Array, batch: int) -> Array:
        if not start:
            return jnp.take(x, rows, axis=batch)
        places = (slice(None),) * (batch + 1) + (slice(start, None),)
        return x.at[places].set(jnp.take(x[places], rows, axis=batch))

    return _changed(take, memory)


def without(memory: Memory, slots: int, write_at: Int[Array, ""]) -> Memory:
    """The memory, blind to the slots that are about to be written."""
    places = jnp.arange(memory.attended.shape[1])
    return memory.replace(attended=memory.attended & ~((places >= write_at) & (places < write_at + slots)))


def _changed(change: Callable[..., Array], *memories: Memory) -> Memory:
    return Memory(
        **{
            name: change(getattr(memories[0], name), batch, *[getattr(m, name) for m in memories[1:]])
            for name, batch in BATCH.items()
        }
    )
