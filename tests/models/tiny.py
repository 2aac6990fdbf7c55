"""A decoder of two streams and two layers, sequences for it, and its weights."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from motiongpt3_jax.models import Decoder, DecoderConfig, Stream, StreamConfig

CONFIG = DecoderConfig(
    streams=(StreamConfig("text", 8, 12), StreamConfig("motion", 8, 12)),
    layers=2,
    heads=2,
    head_width=4,
    max_positions=16,
    shared=(True, True),
    dropout=0.1,
    attention_dropout=0.0,
    attention="reference",
    scan=True,
    remat="none",
    dtype="float32",
)
NARROW = replace(CONFIG, streams=(StreamConfig("text", 8, 12), StreamConfig("motion", 4, 6)))
PLACES = {"text": [0, 1, 4, 5], "motion": [2, 3]}
"""Text, then two motion slots, then text."""


def stream(seed, positions, width=8, segments=None, attended=None):
    positions = jnp.atleast_2d(jnp.asarray(positions))
    return Stream(
        embeddings=jnp.asarray(np.random.default_rng(seed).normal(size=(*positions.shape, width)), jnp.float32),
        positions=positions,
        segments=jnp.ones_like(positions) if segments is None else jnp.atleast_2d(jnp.asarray(segments)),
        attended=jnp.ones(positions.shape, bool) if attended is None else jnp.atleast_2d(jnp.asarray(attended)),
    )


def sequence(seed=0, config=CONFIG, places=None):
    places = places or PLACES
    widths = {s.name: s.width for s in config.streams}
    return {name: stream(seed + i, at, widths[name]) for i, (name, at) in enumerate(places.items())}


def parameters(config=CONFIG, seed=0):
    """Weights large enough that attention is far from even."""
    return jax.tree.map(jnp.asarray, _drawn(config, seed))


def drawn(init, *inputs, scale=0.4, seed=0):
    """Weights of a module's `init` in which everything matters, drawn by NumPy: JAX's programs take seconds to compile.

    For functions alone: each worker collects each file of tests.
    """
    shapes = jax.eval_shape(init, jax.random.key(0), *inputs)["params"]
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.normal(size=x.shape, scale=scale).astype(np.float32), shapes)


@cache
def _drawn(config, seed):
    return drawn(Decoder(config).init, sequence(config=config), seed=seed)
