"""A tiny two-branch decoder of Llama's family, its motion branch at a quarter of the width, and a checkpoint for it."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.models import Decoder, Stream
from motiongpt3_jax.parallel.sharding import path_name
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.motiongpt3.build import build_config, sizes_of
from motiongpt3_jax.systems.motiongpt3.modules import Modules
from motiongpt3_jax.systems.motiongpt3.prompts import TOKEN_SPEC
from motiongpt3_jax.text.tokenizer import blank_tokenizer

LLAMA = (
    "model.decoder.family=llama",
    "model.decoder.kv_heads=2",
    "model.decoder.mlp_width=48",
    "model.decoder.norm_eps=1e-6",
    "model.decoder.rope_theta=500.0",
    "model.decoder.rope_scaling=(8.0, 1.0, 4.0, 64)",
    "model.decoder.tied=False",
    "model.decoder.motion_factor=0.25",
)
"""Overrides of `motiongpt3:test`."""


def paths_of(tree):
    """Shapes by the paths of their parameters."""
    return {path_name(path): x.shape for path, x in jax.tree.leaves_with_path(tree)}


CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "rms_norm_eps": 1e-6,
    "rope_theta": 500.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "tie_word_embeddings": False,
    "max_position_embeddings": 1024,
}
"""The `config.json` of a checkpoint of these sizes."""

IDS = 300
"""Ids of its tokenizer."""


def random_tensors(rows=IDS, seed=0):
    """Tensors by the names of Hugging Face's Llama, large enough that attention is far from even."""
    shapes = {"model.embed_tokens.weight": (rows, 32), "lm_head.weight": (rows, 32), "model.norm.weight": (32,)}
    of_a_layer = {
        "self_attn.q_proj": (32, 32),
        "self_attn.k_proj": (16, 32),
        "self_attn.v_proj": (16, 32),
        "self_attn.o_proj": (32, 32),
        "mlp.gate_proj": (48, 32),
        "mlp.up_proj": (48, 32),
        "mlp.down_proj": (32, 48),
        "input_layernorm": (32,),
        "post_attention_layernorm": (32,),
    }
    for layer in range(2):
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in of_a_layer.items()}
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape, scale=0.3).astype(np.float32) for name, shape in shapes.items()}


def write_checkpoint(folder, tensors, **changed):
    """A checkpoint of one file."""
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG | changed))
    return str(folder)


def spec_of(*overrides):
    """The model of the smallest config with these blocks, and a tokenizer of as many ids."""
    config = load_config("motiongpt3:test", (*LLAMA, *overrides)).to_dict()
    return ModelSpec(config, 263, blank_tokenizer(TOKEN_SPEC, IDS))


def logits_of(spec, params, ids, adapter=None):
    """Our logits of texts, from the parameters of the text branch alone."""
    modules = Modules(build_config(spec.config["model"], **sizes_of(spec))).using(adapter)
    positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
    new = {name: jnp.zeros((2, 32)) for name in ("new", "new_head")}
    vocabulary = {"params": {**params["vocabulary"]["text"], **new}}

    @jax.jit
    def logits(params):
        embeddings = modules.text.apply(vocabulary, ids, method="embed")
        text = Stream(embeddings, positions, jnp.ones_like(ids), jnp.ones(ids.shape, bool))
        # The motion branch has no slots, and its parameters are not needed.
        decoder = Decoder(replace(modules.config.decoder, streams=modules.config.decoder.streams[:1]))
        hidden = decoder.apply({"params": params["decoder"]}, {"text": text})
        return modules.text.apply(vocabulary, hidden["text"], method="logits")[..., :IDS]

    return np.asarray(logits(params))
