"""What a file of tensors is: a MotionGPT3, a motion VAE or a GPT-2; and its sizes, read from the tensors' shapes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.motiongpt3.gpt2 import UNUSED
from motiongpt3_jax.systems.motiongpt3.official import IGNORED

LANGUAGE = "lm.language_model."
TRANSFORMER, HEAD = f"{LANGUAGE}transformer.", "lm.diffloss.net."
NEW_IDS = 2
"""Ids that the model adds to its text table: start and end of motion."""

OTHERS: Mapping[str, str] = {
    r"(^|\.)language_model\.(shared|encoder\.block\.\d+|decoder\.block\.\d+)\.": "MotionGPT (2023), a T5",
    r"(^|\.)shared\.weight$": "a T5",
    r"(^|\.)vae\.quantizer\.": "MotionGPT (2023), whose VAE has a codebook",
    r"(^|\.)(vqvae|quantizer)\.(codebook|layers\.\d+\.codebook)": "a VQ-VAE such as that of T2M-GPT or MoMask",
    r"(^|\.)seqTransEncoder\.": "MDM",
    r"(^|\.)seqTransformer\.": "MoMask",
    r"(^|\.)temporal_decoder_blocks\.": "MotionDiffuse",
    r"(^|\.)model\.layers\.\d+\.self_attn\.q_proj\.": "a Llama",
}
"""Models that have other parts, by patterns of their tensors' names."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Found:
    """A model's tensors.

    Attributes:
      kind: "whole" for a MotionGPT3, "vae" for a motion VAE, "text" for a GPT-2.
      tensors: by their official names; a GPT-2's by its own.
    """

    kind: Literal["whole", "vae", "text"]
    tensors: dict[str, np.ndarray]


@dataclass(frozen=True)
class Sizes:
    """Sizes of a model.

    Attributes:
      model: values of the config's section `model`, by its parts.
      features: width of a frame; None without a VAE.
      vocabulary: ids of the tokenizer without those that the model adds; None without a text branch.
    """

    model: dict[str, dict[str, Any]]
    features: int | None = None
    vocabulary: int | None = None


def recognised(state: Mapping[str, np.ndarray]) -> Found:
    """The model in a state dict, without what belongs to the official evaluation.

    A VAE may come with MLD, which trained it: its names then contain `motion_vae.` or `vae.`, and all others (denoiser,
    text encoder) are left out.

    Raises:
      UserError: it is no model that is known.
    """
    _refuse_others(state)
    wrapping = next((name.partition(LANGUAGE)[0] for name in state if LANGUAGE in name), None)
    if wrapping is not None:
        names = {name: name.removeprefix(wrapping) for name in state}
        return Found("whole", {to: state[name] for name, to in names.items() if not to.startswith(IGNORED)})
    for mark in ("motion_vae.", "vae.", ""):
        tensors = {f"vae.{name.partition(mark)[2] if mark else name}": state[name] for name in state if mark in name}
        if "vae.skel_embedding.weight" in tensors:
            return Found("vae", tensors)
    tensors = {name.removeprefix("transformer."): x for name, x in state.items() if not UNUSED.search(name)}
    if "wte.weight" in tensors:
        return Found("text", tensors)
    raise UserError(
        f"the tensors ({', '.join(list(state)[:3])} ...) are of no known model: a MotionGPT3 has {LANGUAGE}*, a "
        "motion VAE *.skel_embedding.weight, a GPT-2 wte.weight"
    )


def _refuse_others(state: Iterable[str]) -> None:
    """Raises UserError for checkpoints of other models, of which some share names of tensors with one that is read."""
    if any(TRANSFORMER in name or "skel_embedding." in name for name in state):
        return
    for pattern, model in OTHERS.items():
        name = next(filter(re.compile(pattern).search, state), None)
        if name is not None:
            raise UserError(
                f"the tensors ({name} ...) are those of {model}, another model, which is not read here: give a "
                "checkpoint of MotionGPT3, MLD's motion VAE or a GPT-2"
            )


def sizes_from_shapes(found: Found) -> Sizes:
    """What the shapes say; which layers share attention, and most numbers of heads, they do not.

    Raises:
      UserError: a tensor that tells a size is missing, or has another number of axes.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in found.tensors.items()}
    if found.kind == "vae":
        return Sizes({"vae": _vae(shapes)}, features=_shape(shapes, "vae.skel_embedding.weight", 2)[1])
    if found.kind == "text":
        return Sizes({"decoder": _decoder(shapes, "")}, vocabulary=_shape(shapes, "wte.weight", 2)[0])
    decoder = _decoder(shapes, TRANSFORMER)
    motion = _shape(shapes, f"{TRANSFORMER}h.0.ln_1.fn.1.weight", 1)[0]
    head = {
        "width": _shape(shapes, f"{HEAD}input_proj.weight", 2)[0],
        "depth": _count(shapes, re.escape(HEAD) + r"res_blocks\.(\d+)\."),
        "time": _shape(shapes, f"{HEAD}time_embed.mlp.0.weight", 2)[1],
    }
    return Sizes(
        {"vae": _vae(shapes), "decoder": {**decoder, "motion_factor": motion / decoder["width"]}, "head": head},
        features=_shape(shapes, "vae.skel_embedding.weight", 2)[1],
        vocabulary=_shape(shapes, f"{TRANSFORMER}wte.weight", 2)[0] - NEW_IDS,
    )


def _vae(shapes: Shapes) -> dict[str, Any]:
    tokens, width = _shape(shapes, "vae.global_motion_token", 2)
    return {
        "width": width,
        "layers": 2 * _count(shapes, r"vae\.encoder\.input_blocks\.(\d+)\.") + 1,
        "mlp_width": _shape(shapes, "vae.encoder.middle_block.linear1.weight", 2)[0],
        "latents": tokens // 2,
        "max_frames": _shape(shapes, "vae.query_pos_decoder.pe", 3)[0],
    }


def _decoder(shapes: Shapes, prefix: str) -> dict[str, Any]:
    return {
        "width": _shape(shapes, f"{prefix}wte.weight", 2)[1],
        "layers": _count(shapes, re.escape(prefix) + r"h\.(\d+)\."),
        "max_positions": _shape(shapes, f"{prefix}wpe.weight", 2)[0],
    }


def _count(shapes: Iterable[str], pattern: str) -> int:
    """How many different numbers there are where the pattern has its group."""
    return len({int(match[1]) for match in map(re.compile(pattern).match, shapes) if match})


def _shape(shapes: Shapes, name: str, axes: int) -> tuple[int, ...]:
    if len(shapes.get(name, ())) != axes:
        what = f"has shape {shapes[name]}, expected {axes} axes" if name in shapes else "is missing"
        raise UserError(f"the sizes of the model cannot be told: {name} {what}")
    if 0 in shapes[name]:
        raise UserError(f"the sizes of the model cannot be told: {name} is empty, its shape is {shapes[name]}")
    return shapes[name]
