"""From a batch to hidden states: clips to latents, ids and latents to streams, streams through the decoder."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.models import Stream, Tables
from motiongpt3_jax.models.constrain import unconstrained
from motiongpt3_jax.models.dense import apply_params, dense
from motiongpt3_jax.systems.interface import Tree
from motiongpt3_jax.systems.motiongpt3.modules import Modules


def to_language(state: Tree, latents: Float[Array, "*batch latents width"]) -> Float[Array, "*batch latents width"]:
    """The VAE's latents on the language model's scale."""
    return (latents - state["latent_mean"]) * jax.lax.rsqrt(latent_variance(state))


def from_language(state: Tree, latents: Float[Array, "*batch latents width"]) -> Float[Array, "*batch latents width"]:
    """The language model's latents on the VAE's scale."""
    return latents * jnp.sqrt(latent_variance(state)) + state["latent_mean"]


def latent_variance(state: Tree) -> Float[Array, "latents width"]:
    """Variance of every latent channel."""
    return jnp.maximum(state["latent_square"] - state["latent_mean"] ** 2, 1e-6)


def encode_clips(
    modules: Modules, params: Tree, batch: Batch, rngs: dict[str, jax.Array] | None = None
) -> tuple[Float[Array, "rows clips latents width"], Float[Array, "rows clips latents width"]]:
    """Mean and log-variance of every clip's posterior, buckets side by side; as they are where they come encoded."""
    if batch.encoded is not None:
        vae = modules.config.vae
        halves = batch.encoded.reshape(*batch.encoded.shape[:2], 2, vae.latents, vae.width)
        return halves[:, :, 0], halves[:, :, 1]
    parts, first = [], 0
    for features in batch.clips:
        rows, clips, length, width = features.shape
        frames = batch.clip_frames[:, first : first + clips].reshape(-1)
        mean, log_variance = modules.vae.apply(
            {"params": params["vae"]},
            features.reshape(rows * clips, length, width),
            frames,
            deterministic=rngs is None,
            method="encode",
            rngs=rngs,
        )
        parts.append(tuple(x.reshape(rows, clips, *x.shape[1:]) for x in (mean, log_variance)))
        first += clips
    means, log_variances = zip(*parts)
    return jnp.concatenate(means, axis=1), jnp.concatenate(log_variances, axis=1)


def streams(
    modules: Modules,
    params: Tree,
    batch: Batch,
    latents: Float[Array, "rows clips latents width"] | None,
    tables: Tables | None = None,
) -> dict[str, Stream]:
    """The decoder's input: text ids embedded; motion ids embedded, or replaced by a chunk of an understood latent.

    Args:
      modules: the model's parts.
      params: its parameters.
      batch: ids, positions and where each clip enters.
      latents: latents on the language model's scale; None when no clip enters.
      tables: of the text's vocabulary, where its logits share them.
    """
    vocabulary = params["vocabulary"]
    ids = batch.streams["text"].ids
    embeddings = {"text": modules.text.apply({"params": vocabulary["text"]}, ids, tables, method="embed")}
    if "motion" in batch.streams:
        motion = modules.motion.apply({"params": vocabulary["motion"]}, batch.streams["motion"].ids, method="embed")
        embeddings["motion"] = _insert(modules, params, batch.streams["motion"].sources, motion, latents)
    return {
        name: Stream(
            embeddings=jnp.where((slots.segments > 0)[..., None], embeddings[name], 0.0),
            positions=slots.positions,
            segments=slots.segments,
            attended=slots.attended,
        )
        for name, slots in batch.streams.items()
    }


def _insert(
    modules: Modules,
    params: Tree,
    sources: Int[Array, "rows slots 2"],
    embeddings: Float[Array, "rows slots width"],
    latents: Float[Array, "rows clips latents channels"] | None,
) -> Float[Array, "rows slots width"]:
    """Puts the chunks of the understood latents into the slots that ask for them."""
    if latents is None or not latents.shape[1]:
        return embeddings
    rows, clips = latents.shape[:2]
    flat = latents.reshape(rows, clips, -1)
    understood = apply_params(dense, flat, params["understand"], "float32", modules.constrain or unconstrained)
    chunks = understood.reshape(rows, -1, embeddings.shape[-1])
    per_clip = chunks.shape[1] // clips
    place = jnp.maximum(sources[..., 0], 0) * per_clip + sources[..., 1]
    chosen = jnp.take_along_axis(chunks, place[..., None], axis=1)
    return jnp.where((sources[..., 0] >= 0)[..., None], chosen, embeddings)


def conditions(
    hidden: Float[Array, "rows slots width"], outputs: Int[Array, "rows outputs holders"]
) -> Float[Array, "rows outputs holders width"]:
    """Hidden states of the motion stream at the holders of every output."""
    rows, count, holders = outputs.shape
    picked = jnp.take_along_axis(hidden, outputs.reshape(rows, count * holders, 1), axis=1)
    return picked.reshape(rows, count, holders, -1)
