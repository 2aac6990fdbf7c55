"""Clips to codes of the frozen motion tokenizer, and codes into the slots that ask for them."""

from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from motiongpt3_jax.batch import Batch, StreamSlots
from motiongpt3_jax.models import nearest_codes, repeat_last_frame
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motion_codes.modules import Modules
from motiongpt3_jax.systems.motion_codes.tokens import FRAMES_PER_CODE


def buckets(batch: Batch) -> Iterator[tuple[Float[Array, "rows clips frames features"], Int[Array, "rows clips"]]]:
    """The clips of every bucket, and their frames."""
    first = 0
    for features in batch.clips:
        here = slice(first, first + features.shape[1])
        yield jnp.asarray(features), jnp.asarray(batch.clip_frames)[:, here]
        first = here.stop


def encode_clips(
    modules: Modules, variables: Variables, features: Float[Array, "clips frames features"], frames: Int[Array, "clips"]
) -> tuple[Float[Array, "clips codes width"], Int[Array, "clips"]]:
    """Vectors of clips before they are quantised, and how many of each count; last frames fill codes up."""
    features, frames = repeat_last_frame(features, frames, FRAMES_PER_CODE)
    vectors = modules.vqvae.apply({"params": variables.params["vqvae"]}, features, frames, method="encode")
    return vectors, frames // FRAMES_PER_CODE


def codes_of_clips(
    modules: Modules, variables: Variables, features: Float[Array, "clips frames features"], frames: Int[Array, "clips"]
) -> Int[Array, "clips codes"]:
    """The code of every four frames of each clip."""
    vectors, _ = encode_clips(modules, variables, features, frames)
    return jax.lax.stop_gradient(nearest_codes(variables.state["codebook"]["table"], vectors))


def codes_of_batch(modules: Modules, variables: Variables, batch: Batch) -> Int[Array, "rows clips codes"] | None:
    """Codes of all clips, those of every bucket as long as of the longest; None where there are no clips."""
    parts = []
    for features, frames in buckets(batch):
        codes = codes_of_clips(modules, variables, features.reshape(-1, *features.shape[2:]), frames.reshape(-1))
        parts.append(codes.reshape(*frames.shape, -1))
    if not parts:
        return None
    longest = max(part.shape[-1] for part in parts)
    return jnp.concatenate([jnp.pad(x, ((0, 0), (0, 0), (0, longest - x.shape[-1]))) for x in parts], axis=1)


def fill_ids(
    slots: StreamSlots, codes: Int[Array, "rows clips codes"] | None, first_code: int
) -> Int[Array, "rows slots"]:
    """A stream's ids, with the codes of clips in the slots that ask for them."""
    if codes is None or slots.sources is None:
        return jnp.asarray(slots.ids)
    place = jnp.maximum(slots.sources[..., 0], 0) * codes.shape[2] + slots.sources[..., 1]
    chosen = jnp.take_along_axis(codes.reshape(len(codes), -1), place, axis=1)
    return jnp.where(slots.sources[..., 0] >= 0, chosen + first_code, slots.ids)


def filled(
    streams: Mapping[str, StreamSlots], codes: Int[Array, "rows clips codes"] | None, first_code: int
) -> dict[str, Int[Array, "rows slots"]]:
    """Ids of all streams, see `fill_ids`."""
    return {name: fill_ids(slots, codes, first_code) for name, slots in streams.items()}


def fill_targets(slots: StreamSlots, ids: Int[Array, "rows slots"]) -> Int[Array, "rows slots"]:
    """What each slot predicts: a code where the next slot is filled with one."""
    if slots.sources is None:
        return jnp.asarray(slots.targets)
    next_is_code = jnp.roll(slots.sources[..., 0], -1, axis=1) >= 0
    return jnp.where(next_is_code, jnp.roll(ids, -1, axis=1), slots.targets)
