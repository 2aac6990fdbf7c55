"""From a config's plain values to the dataclasses of MotionLLM."""

from motiongpt3_jax.models import DecoderConfig, StreamConfig
from motiongpt3_jax.models.attention_kernels import kernel_name
from motiongpt3_jax.systems.adapters import read_adapters
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.motion_codes.build import vqvae_config
from motiongpt3_jax.systems.motion_codes.config import CodeModelConfig
from motiongpt3_jax.systems.motionllm.check import read_model, read_pairs
from motiongpt3_jax.systems.motionllm.sections import STREAMS, ModelSection
from motiongpt3_jax.systems.motionllm.tokens import motion_tokens


def build_config(spec: ModelSpec) -> CodeModelConfig:
    """The sizes of a model.

    Raises:
      UserError: a size of the config's section `model` is none, is missing, or does not go with another; says which.
    """
    model = read_model(spec.config["model"])
    tokens = motion_tokens(spec.tokenizer, model.vqvae.codes, read_pairs(spec.config["pairs"]).persons)
    return CodeModelConfig(
        vqvae=vqvae_config(model.vqvae, spec.features, model.dtype),
        permute=model.vqvae.permute,
        language=decoder_config(model),
        words=tokens.words,
        new_ids=tokens.size - tokens.words,
        codes_at=tokens.first_code - tokens.words,
        tied=model.language.tied,
        logit_cap=model.language.logit_cap,
        base_dtype=model.base_dtype,
        later_ids=tokens.later,
    )


def decoder_config(model: ModelSection) -> DecoderConfig:
    """Sizes of the language model."""
    section = model.language
    return DecoderConfig(
        streams=tuple(StreamConfig(name, section.width, section.mlp_width or 4 * section.width) for name in STREAMS),
        shared=(True,) * section.layers,
        dropout=model.dropout,
        attention_dropout=model.attention_dropout,
        attention=kernel_name(model.attention),
        dtype=model.dtype,
        adapters=read_adapters(model.lora),
        **section.decoder_options,
    )
