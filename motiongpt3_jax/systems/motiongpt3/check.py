"""Validation of the sections of a config that are MotionGPT3's: sizes, layout, objectives."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.motiongpt3.config import LanguageObjective, VaeObjective
from motiongpt3_jax.values import FLAG, SECTION, Rule, check_values, none_or, one_of, real, whole

SHARING = {
    "all": lambda layer, layers: True,
    "none": lambda layer, layers: False,
    "odd": lambda layer, layers: layer % 2 == 0,
    "last_third": lambda layer, layers: layer >= int(layers * 2 / 3),
}
"""Which layers share attention between the streams (`attention_mode`); "odd" counts layers from 1."""

OBJECTIVES = {"vae": VaeObjective, "text": LanguageObjective, "language": LanguageObjective}
"""The objective of each loss."""

WIDTH, LAYERS, FRAMES = whole(1, 2**16), whole(1, 1024), whole(1, 10**6)

MODEL = {
    "vae": SECTION,
    "decoder": SECTION,
    "head": SECTION,
    "dropout": real(0, 1, below=True),
    "dtype": one_of("float32", "bfloat16", "float16"),
    "latent_scale": none_or(real(0, 1e6, above=True)),
    "repeats": whole(1, 1024),
    "flow": FLAG,
}
VAE = {
    "width": WIDTH,
    "layers": Rule("an odd number from 3 on", lambda value: whole(3, 1023).holds(value) and value % 2 == 1),
    "heads": WIDTH,
    "mlp_width": WIDTH,
    "latents": whole(1, 256),
    "max_frames": FRAMES,
}
DECODER = {
    "width": WIDTH,
    "layers": LAYERS,
    "heads": WIDTH,
    "motion_factor": real(0, 64, above=True),
    "attention_mode": one_of(*SHARING),
    "max_positions": FRAMES,
    "scan": FLAG,
    "remat": FLAG,
}
HEAD = {
    "width": WIDTH,
    "depth": LAYERS,
    "heads": WIDTH,
    "time": Rule("an even number from 2 on", lambda value: whole(2, 2**16).holds(value) and value % 2 == 0),
}
LAYOUT = {
    "max_length": whole(8, 10**6),
    "prompt_loss": FLAG,
    "pad_loss": FLAG,
    "unpredictable_targets": FLAG,
    "interleave": FLAG,
    "max_position_offset": whole(0, 10**6),
}
SHARES = {"condition_dropout": real(0, 1)}
"""Numbers of an objective that are no weights."""


def check_model(model: Any, path: str = "model") -> None:
    """Raises UserError when the sizes of a model are none, or do not go together.

    Args:
      model: the section.
      path: where it stands, as errors name it.
    """
    check_values(path, model, MODEL)
    for name, rules in (("vae", VAE), ("decoder", DECODER), ("head", HEAD)):
        check_values(f"{path}.{name}", model[name], rules)
    vae, decoder, head = model["vae"], model["decoder"], model["head"]
    motion = motion_width(decoder)
    _check_heads(f"{path}.vae.width {vae['width']}", vae["width"], vae["heads"])
    _check_heads(f"{path}.decoder.width {decoder['width']}", decoder["width"], decoder["heads"])
    widths = f"{path}.decoder.width {decoder['width']} times its motion_factor {decoder['motion_factor']:g}"
    if motion < 1:
        raise UserError(f"{widths} leaves no width for motion; take a larger factor")
    _check_heads(f"{widths} is {motion}, which", motion, head["heads"], f"{path}.head's")
    if vae["max_frames"] <= 2 * vae["latents"]:
        raise UserError(
            f"{path}.vae.max_frames is {vae['max_frames']}, and {2 * vae['latents']} rows are those of its latents: "
            "take more"
        )


def motion_width(decoder: Mapping[str, Any]) -> int:
    """Width of the motion stream."""
    return round(decoder["width"] * decoder["motion_factor"])


def _check_heads(what: str, width: int, heads: int, whose: str = "its") -> None:
    if width % heads:
        raise UserError(f"{what} is not a multiple of {whose} {heads} heads")


def check_layout(layout: Any, path: str = "layout") -> None:
    """Raises UserError when the options of a layout are none."""
    check_values(path, layout, LAYOUT)


def check_objective(loss: Any, values: Any, path: str = "objective") -> None:
    """Raises UserError when MotionGPT3 has no such loss, or its weights and switches are none.

    Args:
      loss: its name.
      values: the section with its weights and switches.
      path: where they stand, as errors name it.
    """
    if not isinstance(loss, str) or loss not in OBJECTIVES:
        raise UserError(f"MotionGPT3 has no loss {loss!r}; choose one of {', '.join(OBJECTIVES)}")
    known = {
        field.name: FLAG if isinstance(field.default, bool) else SHARES.get(field.name, real(0, 1e9))
        for field in fields(OBJECTIVES[loss])
    }
    check_values(path, values, known, optional=known)
