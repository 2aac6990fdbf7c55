"""From a config's plain values to the dataclasses of MotionGPT3."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from motiongpt3_jax.models import DecoderConfig, HeadConfig, StreamConfig, VaeConfig
from motiongpt3_jax.models.attention_kernels import kernel_name
from motiongpt3_jax.systems.adapters import read_adapters
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.motiongpt3.check import read_model
from motiongpt3_jax.systems.motiongpt3.config import MotionGPT3Config
from motiongpt3_jax.systems.motiongpt3.sections import SHARING


def build_config(model: Mapping[str, Any], *, features: int, vocabulary: int) -> MotionGPT3Config:
    """The sizes of a model.

    Args:
      model: the config's section `model`.
      features: width of a frame.
      vocabulary: the tokenizer's ids without those that the system adds.

    Raises:
      UserError: a size is none, is missing, or does not go with another; says which.
    """
    section = read_model(model)
    decoder = section.decoder
    common = {"dropout": section.dropout, "dtype": section.dtype}
    width, motion = decoder.width, decoder.motion_width
    text_mlp, motion_mlp = decoder.mlp_widths
    shared = SHARING[decoder.attention_mode]
    return MotionGPT3Config(
        vae=VaeConfig(features=features, **asdict(section.vae), **common),
        decoder=DecoderConfig(
            streams=(
                StreamConfig("text", width, text_mlp),
                StreamConfig("motion", motion, motion_mlp, weights="text" if decoder.branches == 1 else None),
            ),
            shared=tuple(shared(layer, decoder.layers) for layer in range(decoder.layers)),
            attention_dropout=section.attention_dropout,
            attention=kernel_name(section.attention),
            adapters=read_adapters(section.lora),
            **decoder.decoder_options,
            **common,
        ),
        head=HeadConfig(
            latent=section.vae.width, condition=motion, pool_mlp=4 * motion, **asdict(section.head), **common
        ),
        vocabulary=vocabulary,
        latent_scale=section.latent_scale,
        diffusion_steps=section.diffusion_steps,
        betas=section.betas,
        repeats=section.repeats,
        flow=section.flow,
        times=section.times,
        holders=section.holders,
        tied=decoder.tied,
        logit_cap=decoder.logit_cap,
    )


def sizes_of(spec: ModelSpec) -> dict[str, int]:
    """The sizes that the config's section `model` does not say."""
    return {"features": spec.features, "vocabulary": spec.tokenizer.base_vocabulary}
