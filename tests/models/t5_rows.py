"""Streams of ids for a T5, its sizes by a fixture's manifest, and decoding loops over it."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from motiongpt3_jax.models import (
    T5,
    Stream,
    T5Config,
    TextOptions,
    Vocabulary,
    decode_step_t5,
    grow,
    prefill_t5,
    unstack_t5,
)
from motiongpt3_jax.models.generate_text import generate_text
from motiongpt3_jax.systems.motiongpt.t5_weights import from_t5
from tests.golden import MOTIONGPT

PREFIX = "lm.language_model."
START, END = 0, 1

TINY = T5Config(width=8, layers=2, decoder_layers=3, heads=2, head_width=4, mlp_width=12, buckets=8, max_distance=16)
IDS, NEW = 11, 3


def vocabulary(config, ids=IDS, new=NEW):
    return Vocabulary(ids, new, config.width, config.dtype, tied=False, std=1.0)


def parameters(config=TINY, seed=0):
    """Weights large enough that attention is far from even."""
    return jax.tree.map(jnp.asarray, _drawn(config, seed))


@cache
def _drawn(config, seed):
    stream = stream_of(np.zeros((1, 1), int), jnp.zeros((1, 1, config.width)))
    shapes = {
        "t5": jax.eval_shape(T5(config).init, jax.random.key(0), stream, stream)["params"],
        "vocabulary": jax.eval_shape(vocabulary(config).init, jax.random.key(0), jnp.zeros(1, int))["params"],
    }
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.normal(size=x.shape, scale=0.4).astype(np.float32), shapes)


def stream_of(ids, embeddings, mask=None):
    """One segment a row; slots outside the mask are padding."""
    mask = jnp.ones(ids.shape, jnp.int32) if mask is None else jnp.asarray(mask, jnp.int32)
    return Stream(embeddings, jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape), mask, mask > 0)


def embedded(words, params, ids, mask=None):
    """The stream of some ids."""
    return stream_of(ids, words.apply({"params": params["vocabulary"]}, jnp.asarray(ids), method="embed"), mask)


def logits_of(words, params, hidden):
    return words.apply({"params": params["vocabulary"]}, hidden, method="logits")


def sizes(name):
    """(sizes of a recorded T5, its ids) by the manifest."""
    shapes = {key.removeprefix(PREFIX): e["shape"] for key, e in MOTIONGPT.json(f"{name}.manifest").items()}

    def blocks(half):
        return len({key.split(".")[2] for key in shapes if key.startswith(f"{half}.block.")})

    attention = "encoder.block.0.layer.0.SelfAttention"
    buckets, heads = shapes[f"{attention}.relative_attention_bias.weight"]
    ids, width = shapes["shared.weight"]
    inner = shapes[f"{attention}.q.weight"][0]
    mlp_width = shapes["encoder.block.0.layer.1.DenseReluDense.wi_0.weight"][0]
    config = T5Config(
        width, blocks("encoder"), blocks("decoder"), heads, inner // heads, mlp_width, buckets, dropout=0.0
    )
    return config, ids


def weights(name, base):
    """(sizes, words, parameters) of a recorded T5 with filled weights; ids from `base` on are new."""
    config, ids = sizes(name)
    state = {key.removeprefix(PREFIX): tensor for key, tensor in MOTIONGPT.filled(name, PREFIX).items()}
    params = jax.tree.map(jnp.asarray, from_t5(state, config, base))
    return config, vocabulary(config, base, ids - base), params


@partial(jax.jit, static_argnums=(0, 1, 2))
def generate(config, words, options, params, source, mask):
    """Texts of `generate_text`, behind the start id."""
    module, params = T5(config), {**params, "t5": unstack_t5(params["t5"])}
    start = jnp.full((len(source), 1), START)
    hidden, cache, memory = prefill_t5(
        module, params["t5"], embedded(words, params, source, mask), embedded(words, params, start)
    )

    def step(cache, tokens, positions, index, only):
        stream = replace(embedded(words, params, tokens), positions=positions)
        hidden, cache = decode_step_t5(module, params["t5"], stream, cache, memory, index, only)
        return logits_of(words, params, hidden), cache

    return generate_text(
        logits_of(words, params, hidden[:, -1]),
        {name: grow(kept, options.cache_slots) for name, kept in cache.items()},
        step,
        options,
        vocabulary=words.size + words.new,
        positions=jnp.ones(len(source), jnp.int32),
        index=1,
    )


def options(max_new, beams=1):
    return TextOptions(END, max_new=max_new, repetition_penalty=1.0, beams=beams)
