"""A fixed vector quantiser: a few frames become the nearest row of a codebook in a random projection, and that row."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

PROJECTED = 8
"""Channels in which frames are compared with rows."""


def fixed_codebook(codes: int, features: int) -> Float[Array, "codes features"]:
    """The rows: normal numbers that no training moves."""
    return jax.random.normal(jax.random.key(7), (codes, features))


def _project(x: Float[Array, "*batch features"]) -> Float[Array, "*batch projected"]:
    return x @ np.random.default_rng(7).normal(size=(x.shape[-1], PROJECTED)).astype(np.float32)


def chunks_of(frames: int, chunk: int) -> int:
    """Codes that so many frames become."""
    return -(-frames // chunk)


def quantise(
    codebook: Float[Array, "codes features"],
    features: Float[Array, "*batch frames features"],
    frames: Int[Array, "*batch"],
    chunk: int,
) -> Int[Array, "*batch chunks"]:
    """The code of every `chunk` frames: that of the row nearest to the mean of those that are the clip's own."""
    *batch, length, width = features.shape
    count = chunks_of(length, chunk)
    own = (jnp.arange(count * chunk) < frames[..., None]).astype(features.dtype)
    padded = jnp.pad(features, [*[(0, 0)] * len(batch), (0, count * chunk - length), (0, 0)]) * own[..., None]
    sums = padded.reshape(*batch, count, chunk, width).sum(axis=-2)
    means = sums / jnp.maximum(own.reshape(*batch, count, chunk).sum(axis=-1), 1)[..., None]
    distances = jnp.square(_project(means)[..., None, :] - _project(codebook)).sum(axis=-1)
    return jnp.argmin(distances, axis=-1)


def dequantise(
    codebook: Float[Array, "codes features"], codes: Int[Array, "*batch chunks"], chunk: int
) -> Float[Array, "*batch frames features"]:
    """Features of codes: each row for `chunk` frames."""
    return jnp.repeat(codebook[codes], chunk, axis=-2)
