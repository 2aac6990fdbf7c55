"""From a config's plain values to the dataclasses of MotionGPT."""

from collections.abc import Mapping
from typing import Any

from motiongpt3_jax.models import DecoderConfig, StreamConfig, T5Config
from motiongpt3_jax.models.attention_kernels import kernel_name
from motiongpt3_jax.systems.adapters import read_adapters
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.motion_codes.build import vqvae_config
from motiongpt3_jax.systems.motion_codes.config import CodeModelConfig
from motiongpt3_jax.systems.motion_codes.tokens import MotionTokens
from motiongpt3_jax.systems.motiongpt.check import read_model
from motiongpt3_jax.systems.motiongpt.sections import ModelSection


def build_config(spec: ModelSpec) -> CodeModelConfig:
    """The sizes of a model.

    Raises:
      UserError: a size of the config's section `model` is none, is missing, or does not go with another; says which.
    """
    model = read_model(spec.config["model"])
    tokens = MotionTokens.of(spec.tokenizer, model.vqvae.codes)
    return CodeModelConfig(
        vqvae=vqvae_config(model.vqvae, spec.features, model.dtype),
        permute=model.vqvae.permute,
        language=LANGUAGES[model.lm](model),
        words=tokens.words,
        new_ids=tokens.size - tokens.words,
    )


def t5_config(model: ModelSection) -> T5Config:
    """Sizes of a T5."""
    section = model.language
    return T5Config(
        width=section.width,
        layers=section.layers,
        decoder_layers=section.layers,
        heads=section.heads,
        head_width=section.head_width,
        mlp_width=section.mlp_width,
        **_options(model),
    )


def decoder_config(model: ModelSection) -> DecoderConfig:
    """Sizes of a decoder alone, with GPT-2's blocks."""
    section = model.language
    return DecoderConfig(
        streams=(StreamConfig("tokens", section.width, section.mlp_width),),
        layers=section.layers,
        heads=section.heads,
        head_width=section.head_width,
        max_positions=section.max_positions or 0,
        shared=(True,) * section.layers,
        attention=kernel_name(model.attention),
        **_options(model),
    )


LANGUAGES = {"t5": t5_config, "gpt2": decoder_config}
"""From a config's section `model` to the sizes of each kind of language model."""


def _options(model: ModelSection) -> Mapping[str, Any]:
    section = model.language
    return {
        "dropout": model.dropout,
        "attention_dropout": model.attention_dropout,
        "dtype": model.dtype,
        "scan": section.scan,
        "remat": section.remat,
        "adapters": read_adapters(model.lora),
    }
