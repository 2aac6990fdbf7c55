"""A tiny two-branch decoder of Gemma 3's family with the caps of Gemma 2, and a checkpoint for it."""

import json

import numpy as np
from safetensors.numpy import save_file

from motiongpt3_jax.models import DecoderConfig, StreamConfig
from motiongpt3_jax.systems.language_models import LanguageModelSection, language_model_table, read_sizes

GEMMA = (
    "model.decoder.family=gemma3",
    "model.decoder.kv_heads=2",
    "model.decoder.head_width=10",
    "model.decoder.mlp_width=48",
    "model.decoder.norm_eps=1e-6",
    "model.decoder.rope_theta=500.0",
    "model.decoder.rope_scaling=4.0",
    "model.decoder.rope_local_theta=50.0",
    "model.decoder.sliding_window=6",
    "model.decoder.sliding_window_pattern=2",
    "model.decoder.query_pre_attn_scalar=12.0",
    "model.decoder.attention_cap=5.0",
    "model.decoder.logit_cap=10.0",
    "model.decoder.motion_factor=0.5",
)
"""Overrides of `motiongpt3:test`."""

CONFIG = {
    "model_type": "gemma3_text",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "intermediate_size": 48,
    "rms_norm_eps": 1e-6,
    "rope_theta": 500.0,
    "rope_local_base_freq": 50.0,
    "rope_scaling": {"rope_type": "linear", "factor": 4.0},
    "sliding_window": 6,
    "sliding_window_pattern": 2,
    "query_pre_attn_scalar": 12,
    "attn_logit_softcapping": 5.0,
    "final_logit_softcapping": 10.0,
    "max_position_embeddings": 1024,
}
"""The `config.json` of a checkpoint of these sizes."""


def write_checkpoint(folder, rows, seed=0):
    """A checkpoint in two files; returns its tensors."""
    section = LanguageModelSection(max_positions=256, scan=True, remat="none", **read_sizes(CONFIG, "gemma3"))
    common = {"dropout": 0.0, "attention_dropout": 0.0, "attention": "reference", "dtype": "float32"}
    streams = (StreamConfig("text", section.width, section.mlp_width),)
    decoder = DecoderConfig(streams=streams, shared=(True, True), **section.decoder_options, **common)
    table, rng = language_model_table(decoder, rows, rows, section.tied), np.random.default_rng(seed)
    names = sorted(set(table.shapes) - set(table.tied))
    tensors = {name: rng.normal(size=table.shapes[name], scale=0.3).astype(np.float32) for name in names}
    files = {f"model-{number}.safetensors": names[number::2] for number in range(2)}
    for name, keys in files.items():
        save_file({key: tensors[key] for key in keys}, folder / name)
    listed = {"weight_map": {key: name for name, keys in files.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(listed))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return tensors
