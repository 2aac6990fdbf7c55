"""Decoders of one stream of the sizes that a `config.json` says, and logits of ids."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from motiongpt3_jax.models import Decoder, DecoderConfig, Stream, StreamConfig, Vocabulary
from motiongpt3_jax.systems.language_models import LanguageModelSection, language_model_table, read_sizes

MODEL_TYPES = {"gemma3": "gemma3_text"}
"""`model_type` of the families whose models are called otherwise."""

TINY = {
    "vocab_size": 90,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 24,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-6,
}
SCALED = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
TINY_GEMMA = {"head_dim": 10, "query_pre_attn_scalar": 12, "sliding_window": 4}
CONFIGS = {
    "llama": {
        **TINY,
        "rope_theta": 500.0,
        "rope_scaling": {**SCALED, "original_max_position_embeddings": 64},
        "tie_word_embeddings": False,
    },
    "qwen2": {**TINY, "rope_theta": 1e4, "tie_word_embeddings": True},
    "qwen3": {**TINY, "rope_theta": 1e4, "head_dim": 12, "tie_word_embeddings": False},
    "gemma2": {**TINY, **TINY_GEMMA, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 5.0},
    "gemma3": {
        **TINY,
        **TINY_GEMMA,
        "sliding_window_pattern": 3,
        "rope_theta": 1e4,
        "rope_local_base_freq": 100.0,
        "rope_scaling": {"rope_type": "linear", "factor": 4.0},
    },
}
"""The `config.json` of a small model of each family."""


def section_of(family, values, **changed):
    """The section of a config with the sizes of a `config.json`."""
    kind = {"model_type": MODEL_TYPES.get(family, family)}
    options = {"max_positions": 256, "scan": True, "remat": "none", **read_sizes({**kind, **values}, family)}
    return LanguageModelSection(**(options | changed))


def decoder_of(section, **options):
    """The decoder of a section, without dropout."""
    config = DecoderConfig(
        streams=(StreamConfig("tokens", section.width, section.mlp_width),),
        shared=(True,) * section.layers,
        dropout=0.0,
        attention_dropout=0.0,
        attention="reference",
        dtype="float32",
        **section.decoder_options,
    )
    return replace(config, **options)


def vocabulary_of(section, config, ids):
    return Vocabulary(
        ids, 0, section.width, tied=section.tied, scale=config.embedding_scale, cap=section.logit_cap, std=1.0
    )


def tensors_of(family, seed=0, rows=TINY["vocab_size"]):
    """Random tensors by the names of Hugging Face's checkpoints, large enough that attention is far from even."""
    section = section_of(family, CONFIGS[family])
    rng = np.random.default_rng(seed)
    table = language_model_table(decoder_of(section), rows, rows, section.tied)
    return {
        name: rng.normal(size=table.shapes[name], scale=0.4).astype(np.float32)
        for name in table.shapes
        if name not in table.tied
    }


def stream_of(embeddings, positions=None, segments=None):
    """One segment a row from position 0 on, or as told; segment 0 is padding."""
    shape = embeddings.shape[:2]
    positions = np.broadcast_to(np.arange(shape[1]), shape) if positions is None else positions
    segments = np.ones(shape, np.int32) if segments is None else segments
    return Stream(embeddings, jnp.asarray(positions), jnp.asarray(segments), jnp.asarray(segments) > 0)


@partial(jax.jit, static_argnames=("config", "vocabulary"))
def logits_of(config, vocabulary, params, ids, positions=None, segments=None):
    """(logits of some ids, hidden states before the first layer and after each, those after the final norm)."""
    words = partial(vocabulary.apply, {"params": params["vocabulary"]})
    embeddings = words(ids, method="embed")
    hidden, kept = Decoder(config).apply(
        {"params": params["decoder"]},
        {"tokens": stream_of(embeddings, positions, segments)},
        capture_intermediates=lambda _, name: name == "finish",
    )
    after = kept["intermediates"]["layers"]["tokens"]["finish"][0]
    logits = words(hidden["tokens"], method="logits")[..., : vocabulary.size]
    return logits, jnp.concatenate([embeddings[None], after]), hidden["tokens"]
