"""What a file of tensors is: a MotionGPT, its VQ-VAE or a language model; and its sizes, read from shapes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.motion_codes.vqvae_names import vqvae_features, vqvae_sizes
from motiongpt3_jax.systems.motiongpt.name_table import LANGUAGE, VQVAE
from motiongpt3_jax.systems.official_evaluation import drop_evaluation
from motiongpt3_jax.tensors.read_sizes import Shapes, count_layers, shape_of

CONFIGS: Mapping[str, str] = {
    r"(^|\.)lm\.language_model\.(shared|encoder|decoder)\.": "motiongpt:base:official",
    r"(^|\.)lm\.language_model\.transformer\.h\.\d+\.attn\.": "motiongpt:gpt2:official",
    r"(^|\.)vae\.quantizer\.codebook$": "motiongpt:base:official",
    r"^(shared\.weight|(encoder|decoder)\.block\.\d+\.layer\.\d+\.\w+)": "motiongpt:base:official",
    r"^(transformer\.)?h\.\d+\.attn\.": "motiongpt:gpt2:official",
}
"""The config that says what tensors do not, by patterns of their names: the first that fits any of them counts."""

UNUSED = re.compile(r"\.attn\.(masked_)?bias$")
"""Causal masks of a GPT-2."""


@dataclass(frozen=True)
class Checkpoint:
    """A model's tensors.

    Attributes:
      kind: "whole" for a MotionGPT, "tokenizer" for its VQ-VAE, "language" for a T5 or a GPT-2.
      tensors: by their names in the official code.
      note: what else the file held, in a sentence; "" where there is nothing to say.
    """

    kind: Literal["whole", "tokenizer", "language"]
    tensors: dict[str, np.ndarray]
    note: str = ""

    @property
    def lm(self) -> str | None:
        """The kind of language model; None where there is none."""
        if self.kind == "tokenizer":
            return None
        return "gpt2" if f"{LANGUAGE}transformer.wte.weight" in self.tensors else "t5"

    @property
    def shapes(self) -> Shapes:
        """Of the tensors."""
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}


@dataclass(frozen=True)
class Sizes:
    """Sizes of a model.

    Attributes:
      model: values of the config's section `model`, by its parts.
      features: width of a frame; None without a VQ-VAE.
    """

    model: dict[str, dict[str, Any]]
    features: int | None


def find_config(names: Iterable[str]) -> str | None:
    """The config that says what tensors of these names do not; None where they are not read here."""
    names = list(names)
    return next((config for pattern, config in CONFIGS.items() if any(map(re.compile(pattern).search, names))), None)


def identify_tensors(state: Mapping[str, np.ndarray]) -> Checkpoint:
    """The model in a state dict.

    A VQ-VAE may come among other parts: its names contain `vae.`, and all others are left out.

    Raises:
      UserError: it is no model that is known.
    """
    state = {name: tensor for name, tensor in state.items() if not UNUSED.search(name)}
    wrapping = next((name.partition(LANGUAGE)[0] for name in state if LANGUAGE in name), None)
    if wrapping is not None:
        names = {name: name.removeprefix(wrapping) for name in state}
        return Checkpoint("whole", *drop_evaluation({to: state[name] for name, to in names.items()}))
    vqvae = {VQVAE + match[1]: state[name] for name in state if (match := re.search(r"(?:^|\.)vae\.(.+)", name))}
    if f"{VQVAE}quantizer.codebook" in vqvae:
        return Checkpoint("tokenizer", vqvae)
    if "shared.weight" in state:
        return Checkpoint("language", {LANGUAGE + name: tensor for name, tensor in state.items()})
    gpt2 = {re.sub(r"^(?!transformer\.|lm_head\.)", "transformer.", name): tensor for name, tensor in state.items()}
    if "transformer.wte.weight" in gpt2:
        return Checkpoint("language", {LANGUAGE + name: tensor for name, tensor in gpt2.items()})
    raise UserError(
        f"the tensors ({', '.join(list(state)[:3])} ...) are of no known model: a MotionGPT has {LANGUAGE}*, its "
        "VQ-VAE *vae.quantizer.codebook, a T5 shared.weight, a GPT-2 wte.weight"
    )


def sizes_from_shapes(checkpoint: Checkpoint) -> Sizes:
    """What the shapes say; the dilations of the VQ-VAE and the heads of a GPT-2 they do not.

    Raises:
      UserError: a tensor that tells a size is missing, or the model has a form that is not read.
    """
    shapes, model, features = checkpoint.shapes, {}, None
    if checkpoint.kind != "language":
        model["vqvae"] = vqvae_sizes(shapes, VQVAE)
        features = vqvae_features(shapes, VQVAE)
    if checkpoint.lm is not None:
        model["language"] = _t5(shapes) if checkpoint.lm == "t5" else _gpt2(shapes)
    return Sizes(model, features)


def _t5(shapes: Shapes) -> dict[str, Any]:
    if any(name.endswith("DenseReluDense.wi.weight") for name in shapes):
        raise UserError(
            "the tensors are those of a T5 of version 1.0, with plain ReLU layers; give a FLAN-T5 or a v1.1"
        )
    block = f"{LANGUAGE}encoder.block.0.layer"
    inner, width = shape_of(shapes, f"{block}.0.SelfAttention.q.weight", 2)
    heads = shape_of(shapes, f"{block}.0.SelfAttention.relative_attention_bias.weight", 2)[1]
    layers = {
        half: count_layers(shapes, re.escape(LANGUAGE) + rf"{half}\.block\.(\d+)\.") for half in ("encoder", "decoder")
    }
    if layers["encoder"] != layers["decoder"] or inner % heads:
        raise UserError(
            f"the T5 has {layers['encoder']} and {layers['decoder']} layers, and {heads} heads that are {inner} wide "
            "together; those are read that have as many layers in both halves, and heads of one width"
        )
    return {
        "width": width,
        "layers": layers["encoder"],
        "heads": heads,
        "head_width": inner // heads,
        "mlp_width": shape_of(shapes, f"{block}.1.DenseReluDense.wi_0.weight", 2)[0],
        "max_positions": None,
    }


def _gpt2(shapes: Shapes) -> dict[str, Any]:
    model = f"{LANGUAGE}transformer."
    return {
        "width": shape_of(shapes, f"{model}wte.weight", 2)[1],
        "layers": count_layers(shapes, re.escape(model) + r"h\.(\d+)\."),
        "mlp_width": shape_of(shapes, f"{model}h.0.mlp.c_fc.weight", 2)[1],
        "max_positions": shape_of(shapes, f"{model}wpe.weight", 2)[0],
    }
