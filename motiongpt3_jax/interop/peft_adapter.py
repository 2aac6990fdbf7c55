"""LoRA adapters as folders of PEFT: `adapter_config.json` and `adapter_model.safetensors`, both ways."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.folder import ModelFolder
from motiongpt3_jax.motion.saving import whole_file
from motiongpt3_jax.systems.adapter_names import (
    FACTOR,
    adapted_projections,
    factor_table,
    kernels_by_projection,
    module_of,
    with_factors,
)
from motiongpt3_jax.systems.adapters import MAKES
from motiongpt3_jax.systems.interface import Tree, Variables
from motiongpt3_jax.systems.shapes import array_shapes
from motiongpt3_jax.tensors.checkpoint_files import as_float32, read_state_dict
from motiongpt3_jax.tensors.name_table import Entry, from_state_dict, to_state_dict
from motiongpt3_jax.tensors.stored_tensors import read_json

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PEFT_FILES = (CONFIG, WEIGHTS)
"""What an adapter's folder is made of."""

PLAIN: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_rslora": (False, None),
    "use_dora": (False, None),
    "modules_to_save": (None, []),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "layer_replication": (None,),
    "lora_bias": (False, None),
}
"""What an `adapter_config.json` may say beside sizes and targets; what it does not say is the first."""


def write_peft(out: Path, folder: ModelFolder, variables: Variables, name: str) -> list[Path]:
    """Writes an adapter of a model as PEFT loads it onto the published model; returns the files.

    Args:
      out: the folder.
      folder: the model's.
      variables: its arrays.
      name: of the adapter.

    Raises:
      UserError: it adapts what no published model has, or has otherwise.
    """
    section, kernels = folder.config["model"]["lora"][name], published_kernels(folder)
    shapes = array_shapes(folder.kind, folder.spec)
    adapted = adapted_projections(shapes, name)
    table = factor_table(kernels, shapes, adapted, name)
    tensors = to_state_dict(variables.params, table)
    modules = sorted({FACTOR.fullmatch(key)["module"] for key in tensors})
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": folder.config.get("pretrained") or None,
        "r": section["rank"],
        "lora_alpha": section["alpha"],
        "lora_dropout": section["dropout"],
        "target_modules": modules,
        "bias": "none",
        "fan_in_fan_out": kernels[adapted[0]][0].layout == "same",
        "inference_mode": True,
    }
    out.mkdir(parents=True, exist_ok=True)
    with whole_file(out / WEIGHTS, ".safetensors") as fresh:
        save_file(tensors, fresh, metadata={"format": "pt"})
    (out / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return [out / file for file in PEFT_FILES]


def read_peft(place: Path, folder: ModelFolder, name: str) -> tuple[dict[str, Any], Tree]:
    """An adapter in a PEFT folder for a model: (its section of `model.lora`, its parameters).

    Args:
      place: the adapter's folder.
      folder: the model's.
      name: that it will have there.

    Raises:
      UserError: it is of a kind that is not read, or adapts what the model has not; says which.
    """
    config = read_json(place / CONFIG)
    for key, plain in PLAIN.items():
        if config.get(key, plain[0]) not in plain:
            raise UserError(f"'{place / CONFIG}' has {key} {config[key]!r}, which is not read; {plain[0]!r} is")
    state, _ = as_float32(read_state_dict(place / WEIGHTS))
    kernels, rank = published_kernels(folder), _positive(place, config, "r")
    modules = {module_of(entry): projection for projection, entries in kernels.items() for entry in entries}
    adapted = {}
    for key in state:
        match = FACTOR.fullmatch(key)
        if not match or match["module"] not in modules:
            raise UserError(f"'{place}' has {key}, which is no LoRA factor of a projection of this model's text branch")
        adapted[modules[match["module"]]] = None
    shapes = with_factors(array_shapes(folder.kind, folder.spec), adapted, name, int(rank))
    params = from_state_dict(state, factor_table(kernels, shapes, adapted, name))
    others = folder.config["model"].get("lora", {}).values()
    taken = [makes for section in others for makes in section["makes"]]
    section = {
        "rank": int(rank),
        "alpha": _positive(place, config, "lora_alpha"),
        "dropout": float(config.get("lora_dropout") or 0.0),
        "targets": tuple(sorted({re.escape(projection.rpartition("layers/")[2]) for projection in adapted})),
        "makes": tuple(makes for makes in MAKES if makes not in taken),
    }
    return section, params


def published_kernels(folder: ModelFolder) -> dict[str, list[Entry]]:
    """The kernels of a model that a published one has, by the paths of their projections.

    Raises:
      UserError: its system names none.
    """
    names = folder.kind.weights.published_names
    if names is None:
        raise UserError(
            f"LoRA adapters of a {folder.kind.title} have no names in PEFT: no published model has its blocks"
        )
    return kernels_by_projection(names(folder.spec))


def _positive(place: Path, config: Mapping[str, Any], key: str) -> float:
    value = config.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e6:
        raise UserError(f"'{place / CONFIG}' has {key} {value!r}; it must be a number above 0")
    return float(value)


def is_peft(place: Path) -> bool:
    """Whether a folder is that of a PEFT adapter."""
    return (place / CONFIG).is_file()
