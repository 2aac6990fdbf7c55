"""The tiny MotionLLM of the fixtures, as `motionllm:gemma2_2b:official` describes it, with its tokenizer."""

import json
from functools import cache

import jax.numpy as jnp
from flax.traverse_util import unflatten_dict

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.systems.interface import ModelSpec, Variables
from motiongpt3_jax.systems.language_models import read_sizes
from motiongpt3_jax.systems.motionllm.kind import KIND
from motiongpt3_jax.systems.motionllm.tokens import TOKEN_SPEC
from motiongpt3_jax.text import load_tokenizer
from tests.golden import MOTIONLLM, golden_motionllm
from tests.models.motionllm_tiny import TASKS, weights
from tests.models.published_vqvae import CONFIG, from_official

LONGEST = 200
"""Tokens of question and answer."""


@cache
def tokenizer():
    return load_tokenizer(MOTIONLLM.path("tokenizer"), TOKEN_SPEC)


def spec_of(capped=False, **layout):
    """What fixes the model: as released without the soft cap of attention scores, or with it."""
    config = plain(load_config("motionllm:gemma2_2b:official").to_dict())
    values = json.loads(str(golden_motionllm("lora")["config"]))
    sizes = read_sizes({"model_type": "gemma2", **values}, "gemma2")
    config["model"]["language"] |= sizes if capped else {**sizes, "attention_cap": None}
    for name in TASKS:
        config["model"]["lora"][name] |= {
            "rank": values[f"lora_r_{name}"],
            "alpha": float(values[f"lora_alpha_{name}"]),
        }
    config["layout"] |= layout
    return ModelSpec(config, CONFIG.features, tokenizer())


def layout_of(task, **layout):
    """How a stage lays samples out."""
    spec = spec_of(**layout)
    return KIND.layout(spec.config["stages"][task], spec)


@cache
def variables():
    """All arrays, filled by the fixtures' rule."""
    vqvae, table = from_official(MOTIONLLM.filled("vqvae"))
    params = {**unflatten_dict(dict(weights()), sep="/"), "vqvae": vqvae}
    codebook = {"table": jnp.asarray(table), "counts": jnp.ones(len(table))}
    return Variables(params, {"codebook": codebook})
