"""MotionGPT3 as a checkpoint of the official code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.interface import ModelSpec, Variables
from motiongpt3_jax.systems.motiongpt3.build import build_config, sizes_of
from motiongpt3_jax.systems.motiongpt3.latents import OFFICIAL_SCALE, constant_moments, fold_moments
from motiongpt3_jax.systems.motiongpt3.migration import NEW_DECODER_VALUES
from motiongpt3_jax.systems.motiongpt3.official import to_official
from motiongpt3_jax.systems.motiongpt3.prompts import HOLDERS
from motiongpt3_jax.tensors.checkpoint_files import write_checkpoint

FOLDED = (
    "The latents of this model have measured moments, and the official code knows one constant "
    f"({OFFICIAL_SCALE}): they went into the weights. Text to motion and captions are the same there; encoding a "
    "motion and decoding it again, without the language model, is not."
)
FLOW = "note: this model is a rectified flow; the official code samples it as a diffusion, and would make noise of it"

OFFICIAL_NOISE = {"diffusion_steps": 1000, "betas": (0.00085, 0.012)}
"""The noise schedule that the official code samples with."""

NOISE = (
    "note: this model has another noise schedule than the official code, which samples it worse or makes noise of it"
)


def export_pytorch(out: Path, spec: ModelSpec, variables: Variables) -> list[str]:
    """Writes a checkpoint of the official code; returns what there is to say of it.

    Raises:
      UserError: the official code cannot express the model's latents, its decoder, or another number of holders.
    """
    _require_gpt2_blocks(spec.config["model"]["decoder"])
    config, params, notes = build_config(spec.config["model"], **sizes_of(spec)), variables.params, []
    if config.holders != HOLDERS:
        raise UserError(f"the official code writes a motion as {HOLDERS} slots, and this model as {config.holders}")
    if not constant_moments(variables.state):
        params = fold_moments(params, variables.state)
        notes.append(FOLDED)
    if config.flow:
        notes.append(FLOW)
    elif any(getattr(config, name) != value for name, value in OFFICIAL_NOISE.items()):
        notes.append(NOISE)
    write_checkpoint(out, to_official(params, config))
    return notes


def _require_gpt2_blocks(decoder: Mapping[str, Any]) -> None:
    for name, official in NEW_DECODER_VALUES.items():
        value = decoder[name]
        if value != official and not name.startswith("rope"):
            raise UserError(
                f"the official code has two branches of GPT-2's blocks, with model.decoder.{name} {official!r}, and "
                f"this model's is {value!r}: export it as safetensors"
            )
