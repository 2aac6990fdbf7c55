"""From a config's plain values to the dataclasses of MotionGPT3."""

from collections.abc import Mapping
from typing import Any

from motiongpt3_jax.models import DecoderConfig, HeadConfig, StreamConfig, VaeConfig
from motiongpt3_jax.systems.motiongpt3.config import LanguageObjective, MotionGPT3Config, VaeObjective

SHARING = {
    "all": lambda layer, layers: True,
    "none": lambda layer, layers: False,
    "odd": lambda layer, layers: layer % 2 == 0,
    "last_third": lambda layer, layers: layer >= int(layers * 2 / 3),
}
"""Which layers share attention between the streams (`attention_mode`); "odd" counts layers from 1."""

OBJECTIVES = {"vae": VaeObjective, "text": LanguageObjective, "language": LanguageObjective}
"""The objective of each loss."""


def build_config(model: Mapping[str, Any], *, features: int, vocabulary: int) -> MotionGPT3Config:
    """The sizes of a model.

    Args:
      model: the config's section `model`.
      features: width of a frame.
      vocabulary: the tokenizer's ids without those that the system adds.

    Raises:
      ValueError: for an unknown attention mode, or widths that heads do not divide.
    """
    decoder, head = model["decoder"], model["head"]
    common = {"dropout": model["dropout"], "dtype": model["dtype"]}
    mode = decoder["attention_mode"]
    if mode not in SHARING:
        raise ValueError(f"model.decoder.attention_mode is {mode!r}; choose one of {', '.join(SHARING)}")
    width, motion = decoder["width"], round(decoder["width"] * decoder["motion_factor"])
    if width % decoder["heads"]:
        raise ValueError(f"model.decoder.width {width} is not a multiple of its {decoder['heads']} heads")
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


def build_objective(loss: str, values: Mapping[str, Any]) -> VaeObjective | LanguageObjective:
    """The objective of a stage.

    Raises:
      ValueError: for a loss that MotionGPT3 does not have.
    """
    if loss not in OBJECTIVES:
        raise ValueError(f"MotionGPT3 has no loss {loss!r}; choose one of {', '.join(OBJECTIVES)}")
    return OBJECTIVES[loss](**values)
