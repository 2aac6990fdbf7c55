"""A pretrained GPT-2 as the text branch: read from safetensors, by the names of Hugging Face's checkpoints."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motiongpt3_jax import hub
from motiongpt3_jax.systems.motiongpt3.name_table import name_table
from motiongpt3_jax.tensors.checkpoint_files import read_state_dict
from motiongpt3_jax.tensors.name_table import Entry, NameTable, from_state_dict

if TYPE_CHECKING:
    from motiongpt3_jax.systems.motiongpt3 import MotionGPT3Config

TEXT = re.compile(r"decoder/(layers|final_norm)/text/.*|decoder/positions/text|vocabulary/text/(table|head)")
RENAMED = (
    (r"^lm\.language_model\.transformer\.", ""),
    (r"\.fn\.0", ""),
    (r"^(h\.\d+)\.(c_attn|c_proj)", r"\1.attn.\2"),
)
"""From the official names of the text branch to GPT-2's own."""

UNUSED = re.compile(r"(^|\.)(attn\.(masked_)?bias|lm_head\.weight)$")
"""Causal masks, and the output table that repeats the input's."""


def gpt2_file(name_or_folder: str | Path) -> Path:
    """The weights of a GPT-2 checkpoint in a local folder, or on the Hugging Face hub.

    Raises:
      FileNotFoundError: there is no `model.safetensors`.
    """
    folder = Path(os.path.expanduser(name_or_folder))
    if folder.is_dir():
        path = folder / "model.safetensors"
        if not path.is_file():
            raise FileNotFoundError(f"'{folder}' has no model.safetensors; give the folder of a GPT-2 checkpoint")
        return path
    try:
        return Path(hub.file(str(name_or_folder), "model.safetensors"))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no GPT-2 at {str(name_or_folder)!r}: it is no local folder, and {error}") from error


def read_gpt2(name_or_folder: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a GPT-2 checkpoint in a local folder, or on the Hugging Face hub.

    Raises:
      FileNotFoundError: there is no `model.safetensors`.
      UserError: it is damaged.
    """
    tensors = read_state_dict(gpt2_file(name_or_folder))
    state = {key.removeprefix("transformer."): tensor for key, tensor in tensors.items()}
    return {key: tensor for key, tensor in state.items() if not UNUSED.search(key)}


def from_gpt2(state: Mapping[str, np.ndarray], config: "MotionGPT3Config") -> dict[str, Any]:
    """The text branch's parameters: decoder layers, norms, positions and the base vocabulary.

    Raises:
      UserError: names or shapes do not fit the config; says which.
    """
    entries = (
        replace(entry, key=_name(entry.key), shape=_shape(entry))
        for entry in name_table(config).entries
        if TEXT.fullmatch(entry.path)
    )
    return from_state_dict(state, NameTable(tuple(entries)))


def _name(key: str) -> str:
    for pattern, replacement in RENAMED:
        key = re.sub(pattern, replacement, key)
    return key


def _shape(entry: Entry) -> tuple[int, ...]:
    """Of the checkpoint's tensor: its vocabulary has no new ids."""
    return (entry.part.stop, *entry.shape[1:]) if entry.path == "vocabulary/text/table" else entry.shape
