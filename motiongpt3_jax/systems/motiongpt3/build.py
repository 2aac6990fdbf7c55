"""From a config's plain values to the dataclasses of MotionGPT3."""

from collections.abc import Mapping
from typing import Any

from motiongpt3_jax.models import DecoderConfig, HeadConfig, StreamConfig, VaeConfig
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.motiongpt3.check import OBJECTIVES, SHARING, check_model, check_objective, motion_width
from motiongpt3_jax.systems.motiongpt3.config import LanguageObjective, MotionGPT3Config, VaeObjective


def build_config(model: Mapping[str, Any], *, features: int, vocabulary: int) -> MotionGPT3Config:
    """The sizes of a model.

    Args:
      model: the config's section `model`.
      features: width of a frame.
      vocabulary: the tokenizer's ids without those that the system adds.

    Raises:
      UserError: a size is none, is missing, or does not go with another; says which.
    """
    check_model(model)
    decoder, head = model["decoder"], model["head"]
    common = {"dropout": model["dropout"], "dtype": model["dtype"]}
    mode = decoder["attention_mode"]
    width, motion = decoder["width"], motion_width(decoder)
    vae = VaeConfig(features=features, **common, **model["vae"])
    return MotionGPT3Config(
        vae=vae,
        decoder=DecoderConfig(
            streams=(StreamConfig("text", width, 4 * width), StreamConfig("motion", motion, 4 * motion)),
            layers=decoder["layers"],
            heads=decoder["heads"],
            head_width=width // decoder["heads"],
            max_positions=decoder["max_positions"],
            shared=tuple(SHARING[mode](layer, decoder["layers"]) for layer in range(decoder["layers"])),
            scan=decoder["scan"],
            remat=decoder["remat"],
            **common,
        ),
        head=HeadConfig(
            latent=vae.width,
            condition=motion,
            width=head["width"],
            depth=head["depth"],
            heads=head["heads"],
            pool_mlp=4 * motion,
            time=head["time"],
            **common,
        ),
        vocabulary=vocabulary,
        latent_scale=model["latent_scale"],
        repeats=model["repeats"],
        flow=model["flow"],
    )


def sizes_of(spec: ModelSpec) -> dict[str, int]:
    """The sizes that the config's section `model` does not say."""
    return {"features": spec.features, "vocabulary": spec.tokenizer.base_vocabulary}


def build_objective(loss: str, values: Mapping[str, Any]) -> VaeObjective | LanguageObjective:
    """The objective of a stage.

    Raises:
      UserError: MotionGPT3 has no such loss, or the loss no such weight.
    """
    check_objective(loss, values)
    return OBJECTIVES[loss](**values)
