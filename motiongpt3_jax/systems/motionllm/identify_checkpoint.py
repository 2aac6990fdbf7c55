"""What a file of tensors is: MotionLLM's adapters and rows, its VQ-VAE, or both; and sizes, read from shapes."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.adapter_names import FACTOR
from motiongpt3_jax.systems.motionllm.name_table import HEAD_ROWS, ROWS, VQVAE
from motiongpt3_jax.systems.motionllm.sections import STREAMS
from motiongpt3_jax.tensors.read_sizes import Shapes, shape_of

CONFIG = "motionllm:gemma2_2b:official"
"""The config that says what tensors do not."""

MODULE = re.compile(r"model\.layers\.\d+\.(self_attn|mlp)\.(?P<projection>q|k|v|o|gate|up|down)_proj")
"""A projection of a decoder language model, as Hugging Face names it."""

CODEBOOK = re.compile(r"(?:^|\.)vqvae\.quantizer\.codebook$")

MAKES: Mapping[str, tuple[str, ...]] = {"t2m": ("motion",), "m2t": ("text",)}
"""What the adapters of the published model make."""


def find_config(names: Iterable[str]) -> str | None:
    """The config that says what tensors of these names do not; None where they are not read here."""
    read = any(CODEBOOK.search(name) or ((factor := FACTOR.fullmatch(name)) and factor["name"]) for name in names)
    return CONFIG if read else None


def split_tensors(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(adapters and rows, VQ-VAE by the names of `vqvae.pth`), each empty where it is not there.

    Raises:
      UserError: something else is there too.
    """
    ours = {name: tensor for name, tensor in state.items() if FACTOR.fullmatch(name) or name in (ROWS, HEAD_ROWS)}
    others = {name: tensor for name, tensor in state.items() if name not in ours}
    vqvae = {VQVAE + name.partition(VQVAE)[2]: tensor for name, tensor in others.items() if VQVAE in name}
    left = [name for name in others if VQVAE not in name]
    if left:
        raise UserError(
            f"the tensors have {', '.join(left[:3])} beside those of a MotionLLM; give motionllm.pth, which has "
            "adapters and rows of motions, or vqvae.pth"
        )
    return ours, vqvae


def adapter_sections(
    shapes: Shapes, lora: Mapping[str, Mapping[str, Any]], chosen: Collection[str]
) -> dict[str, dict[str, Any]]:
    """The sections of `model.lora` of the adapters in a file.

    Args:
      shapes: of the file's tensors.
      lora: the sections that the config has; they say what tensors do not.
      chosen: names of the config's values that the user has set. An alpha that was not is the rank, as in the published
        code.

    Raises:
      UserError: an adapter has several ranks, or adapts what no decoder language model has.
    """
    ranks: dict[str, set[int]] = {}
    targets: dict[str, dict[str, None]] = {}
    for key in shapes:
        factor = FACTOR.fullmatch(key)
        if factor is None:
            continue
        module, name = MODULE.fullmatch(factor["module"]), factor["name"]
        if module is None or name is None:
            raise UserError(f"{key} is no LoRA factor of a projection of a decoder language model; give motionllm.pth")
        ranks.setdefault(name, set()).add(shape_of(shapes, key, 2)[0 if factor["factor"] == "A" else 1])
        targets.setdefault(name, {})[f"{STREAMS[0]}/{module['projection']}"] = None
    sections = {}
    for name, found in ranks.items():
        if len(found) > 1:
            raise UserError(f"the adapter {name!r} has factors of ranks {sorted(found)}; those of one rank are read")
        before = lora.get(name, {"dropout": 0.0, "makes": MAKES.get(name, ())})
        (rank,) = found
        alpha = before["alpha"] if f"model.lora.{name}.alpha" in chosen else float(rank)
        sections[name] = {**before, "rank": rank, "alpha": alpha, "targets": tuple(targets[name])}
    return sections
