"""The tiny Gemma 2 of MotionLLM's fixtures with its two adapters: sizes, name tables and weights."""

import json
from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from motiongpt3_jax.models import Adapter, Adapters, Decoder, DecoderConfig, Stream, StreamConfig
from motiongpt3_jax.models.flavour import GEMMA2, Rotary
from motiongpt3_jax.systems.adapter_names import factor_table, kernels_by_projection
from motiongpt3_jax.systems.language_models.name_table import language_model_table
from motiongpt3_jax.tensors.name_table import from_state_dict, to_state_dict
from tests.golden import MOTIONLLM, golden_motionllm

TASKS = ("t2m", "m2t")
NEW = 514
"""Rows of motions, the last ones of the table."""


@cache
def sizes():
    """(the decoder with both adapters, base ids, soft cap of the logits)."""
    values = json.loads(str(golden_motionllm("lora")["config"]))
    adapters = tuple(
        Adapter(name, values[f"lora_r_{name}"], values[f"lora_alpha_{name}"], 0.0, (".*",)) for name in TASKS
    )
    flavour = replace(
        GEMMA2,
        kv_heads=values["num_key_value_heads"],
        rotary=Rotary(values["rope_theta"]),
        query_pre_attn_scalar=values["query_pre_attn_scalar"],
        attention_cap=values["attn_logit_softcapping"],
    )
    layers = values["num_hidden_layers"]
    decoder = DecoderConfig(
        streams=(StreamConfig("tokens", values["hidden_size"], values["intermediate_size"]),),
        layers=layers,
        heads=values["num_attention_heads"],
        head_width=values["head_dim"],
        max_positions=0,
        shared=(True,) * layers,
        windows=tuple(None if layer % 2 else values["sliding_window"] for layer in range(layers)),
        dropout=0.0,
        attention_dropout=0.0,
        attention="reference",
        scan=True,
        remat="none",
        dtype="float32",
        eps=values["rms_norm_eps"],
        flavour=flavour,
        adapters=Adapters(adapters),
    )
    return decoder, values["vocab_base"], values["final_logit_softcapping"]


@cache
def tables():
    """Name tables of the base, and of each adapter."""
    decoder, base, _ = sizes()
    (stream,) = decoder.streams
    probe = Stream(jnp.zeros((1, 1, stream.width)), *[jnp.zeros((1, 1), int)] * 2, jnp.ones((1, 1), bool))
    made = jax.eval_shape(partial(Decoder(decoder).init, jax.random.key(0)), {"tokens": probe})["params"]
    shapes = {path: x.shape for path, x in flatten_dict({"decoder": made}, sep="/").items()}
    of_base = language_model_table(decoder, base + NEW, base + NEW, tied=True)
    kernels = kernels_by_projection(of_base)
    return of_base, {name: factor_table(kernels, shapes, kernels, name, named=True) for name in TASKS}


@cache
def weights():
    """All parameters; the rows of motions are apart from the others, as those that train are."""
    of_base, adapters = tables()
    _, base, _ = sizes()
    filled = MOTIONLLM.filled("lora")
    theirs = {key.removeprefix("gemma2."): x for key, x in filled.items() if key.startswith("gemma2.")}
    flat = flatten_dict(from_state_dict(theirs, of_base), sep="/")
    for name, table in adapters.items():
        factors = {key: x for key, x in filled.items() if f".{name}.weight" in key}
        flat |= flatten_dict(from_state_dict(factors, table), sep="/")
    rows = flat.pop("vocabulary/table")
    return flat | {"vocabulary/table": rows[:base], "vocabulary/new": rows[base:]}


def named(factors, task):
    """Factors by PEFT's names without prefix and ending, as the fixtures call them."""
    tensors = to_state_dict(unflatten_dict(dict(factors), sep="/"), tables()[1][task])
    return {key.removeprefix("base_model.model.").removesuffix(f".{task}.weight"): x for key, x in tensors.items()}
