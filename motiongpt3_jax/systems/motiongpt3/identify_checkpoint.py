"""What a file of tensors is: a MotionGPT3, a motion VAE or a GPT-2; and its sizes, read from the tensors' shapes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.motiongpt3.gpt2 import UNUSED
from motiongpt3_jax.systems.official_evaluation import drop_evaluation
from motiongpt3_jax.tensors.read_sizes import Shapes, count_layers, shape_of

LANGUAGE = "lm.language_model."
TRANSFORMER, HEAD = f"{LANGUAGE}transformer.", "lm.diffloss.net."
NEW_IDS = 2
"""Ids that the model adds to its text table: start and end of motion."""

KNOWN_NAMES = (
    r"(^|\.)lm\.language_model\.transformer\.h\.\d+\.(\w+\.)+fn\.",
    r"(^|\.)lm\.(diffloss|motion_und_head)\.",
    r"(^|\.)skel_embedding\.",
    r"^(transformer\.)?wte\.weight$",
)
"""Patterns of tensors that only a MotionGPT3, MLD's motion VAE and a GPT-2 have."""


@dataclass(frozen=True)
class Checkpoint:
    """A model's tensors.

    Attributes:
      kind: "whole" for a MotionGPT3, "vae" for a motion VAE, "text" for a GPT-2.
      tensors: by their official names; a GPT-2's by its own.
      note: what else the file held, in a sentence; "" where there is nothing to say.
    """

    kind: Literal["whole", "vae", "text"]
    tensors: dict[str, np.ndarray]
    note: str = ""


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


def has_known_names(names: Iterable[str]) -> bool:
    """Whether tensors of these names are read here."""
    patterns = re.compile("|".join(KNOWN_NAMES))
    return any(map(patterns.search, names))


def identify_tensors(state: Mapping[str, np.ndarray]) -> Checkpoint:
    """The model in a state dict.

    A VAE may come with MLD, which trained it: its names then contain `motion_vae.` or `vae.`, and all others (denoiser,
    text encoder) are left out.

    Raises:
      UserError: it is no model that is known.
    """
    wrapping = next((name.partition(LANGUAGE)[0] for name in state if LANGUAGE in name), None)
    if wrapping is not None:
        names = {name: name.removeprefix(wrapping) for name in state}
        return Checkpoint("whole", *drop_evaluation({to: state[name] for name, to in names.items()}))
    for mark in ("motion_vae.", "vae.", ""):
        tensors = {f"vae.{name.partition(mark)[2] if mark else name}": state[name] for name in state if mark in name}
        if "vae.skel_embedding.weight" in tensors:
            return Checkpoint("vae", tensors)
    tensors = {name.removeprefix("transformer."): x for name, x in state.items() if not UNUSED.search(name)}
    if "wte.weight" in tensors:
        return Checkpoint("text", tensors)
    raise UserError(
        f"the tensors ({', '.join(list(state)[:3])} ...) are of no known model: a MotionGPT3 has {LANGUAGE}*, a "
        "motion VAE *.skel_embedding.weight, a GPT-2 wte.weight"
    )


def sizes_from_shapes(checkpoint: Checkpoint) -> Sizes:
    """What the shapes say; which layers share attention, and most numbers of heads, they do not.

    Raises:
      UserError: a tensor that tells a size is missing, or has another number of axes.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()}
    if checkpoint.kind == "vae":
        return Sizes({"vae": _vae(shapes)}, features=shape_of(shapes, "vae.skel_embedding.weight", 2)[1])
    if checkpoint.kind == "text":
        return Sizes({"decoder": _decoder(shapes, "")}, vocabulary=shape_of(shapes, "wte.weight", 2)[0])
    decoder = _decoder(shapes, TRANSFORMER)
    motion = shape_of(shapes, f"{TRANSFORMER}h.0.ln_1.fn.1.weight", 1)[0]
    head = {
        "width": shape_of(shapes, f"{HEAD}input_proj.weight", 2)[0],
        "depth": count_layers(shapes, re.escape(HEAD) + r"res_blocks\.(\d+)\."),
        "time": shape_of(shapes, f"{HEAD}time_embed.mlp.0.weight", 2)[1],
    }
    return Sizes(
        {"vae": _vae(shapes), "decoder": {**decoder, "motion_factor": motion / decoder["width"]}, "head": head},
        features=shape_of(shapes, "vae.skel_embedding.weight", 2)[1],
        vocabulary=shape_of(shapes, f"{TRANSFORMER}wte.weight", 2)[0] - NEW_IDS,
    )


def _vae(shapes: Shapes) -> dict[str, Any]:
    tokens, width = shape_of(shapes, "vae.global_motion_token", 2)
    return {
        "width": width,
        "layers": 2 * count_layers(shapes, r"vae\.encoder\.input_blocks\.(\d+)\.") + 1,
        "mlp_width": shape_of(shapes, "vae.encoder.middle_block.linear1.weight", 2)[0],
        "latents": tokens // 2,
        "max_frames": shape_of(shapes, "vae.query_pos_decoder.pe", 3)[0],
    }


def _decoder(shapes: Shapes, prefix: str) -> dict[str, Any]:
    return {
        "width": shape_of(shapes, f"{prefix}wte.weight", 2)[1],
        "layers": count_layers(shapes, re.escape(prefix) + r"h\.(\d+)\."),
        "max_positions": shape_of(shapes, f"{prefix}wpe.weight", 2)[0],
    }
