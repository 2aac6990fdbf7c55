"""A pretrained GPT-2 as the text branch: its tensors by the names of Hugging Face's checkpoints."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.motiongpt3.name_table import name_table
from motiongpt3_jax.tensors.name_table import Entry, NameTable, from_state_dict

if TYPE_CHECKING:
    from motiongpt3_jax.systems.motiongpt3 import MotionGPT3Config

T = TypeVar("T")

TEXT = re.compile(r"decoder/(layers|final_norm)/text/.*|decoder/positions/text|vocabulary/text/(table|head)")
RENAMED = (
    (r"^lm\.language_model\.transformer\.", ""),
    (r"\.fn\.0", ""),
    (r"^(h\.\d+)\.(c_attn|c_proj)", r"\1.attn.\2"),
)
"""From the official names of the text branch to GPT-2's own."""

UNUSED = re.compile(r"(^|\.)(attn\.(masked_)?bias|lm_head\.weight)$")
"""Causal masks, and the output table that repeats the input's."""


def gpt2_sizes(values: Mapping[str, Any], name: str = "config.json") -> dict[str, Any]:
    """The values of the config's section `model.decoder` that a GPT-2's `config.json` says.

    Args:
      values: its content.
      name: of the file, as errors say it.

    Raises:
      UserError: it is another model's.
    """
    kind = values.get("model_type", "gpt2")
    if kind != "gpt2":
        raise UserError(f"{name} describes a {kind!r}; a text branch of the family gpt2 starts from a GPT-2")
    names = {"width": "n_embd", "layers": "n_layer", "heads": "n_head"}
    return {"family": "gpt2", **{ours: values[theirs] for ours, theirs in names.items() if theirs in values}}


def gpt2_tensors(tensors: Mapping[str, T]) -> dict[str, T]:
    """The tensors of a checkpoint that make a GPT-2, by the names that they have without a head."""
    state = {key.removeprefix("transformer."): tensor for key, tensor in tensors.items()}
    return {key: tensor for key, tensor in state.items() if not UNUSED.search(key)}


def gpt2_table(config: "MotionGPT3Config") -> NameTable:
    """The name table of a text branch with GPT-2's blocks: decoder layers, norms, positions and the base vocabulary."""
    entries = (
        replace(entry, key=_name(entry.key), shape=_shape(entry))
        for entry in name_table(config).entries
        if TEXT.fullmatch(entry.path)
    )
    return NameTable(tuple(entries))


def from_gpt2(state: Mapping[str, np.ndarray], config: "MotionGPT3Config") -> dict[str, Any]:
    """The text branch's parameters of a GPT-2's tensors.

    Raises:
      UserError: names or shapes do not fit the config; says which.
    """
    return from_state_dict(state, gpt2_table(config))


def _name(key: str) -> str:
    for pattern, replacement in RENAMED:
        key = re.sub(pattern, replacement, key)
    return key


def _shape(entry: Entry) -> tuple[int, ...]:
    """Of the checkpoint's tensor: its vocabulary has no new ids."""
    return (entry.part.stop, *entry.shape[1:]) if entry.path == "vocabulary/text/table" else entry.shape
