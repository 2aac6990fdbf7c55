"""A pretrained T5 v1.1 or FLAN-T5: read from safetensors by the names of Hugging Face, and written so."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models import T5Config
from motiongpt3_jax.systems.motiongpt.name_table import language_table
from motiongpt3_jax.tensors.name_table import NameTable, from_state_dict, to_state_dict
from motiongpt3_jax.tensors.stored_tensors import (
    CONFIG,
    INDEX,
    WEIGHTS,
    Slices,
    StoredTensor,
    checkpoint_folder,
    open_tensors,
    read_json,
    weight_files,
)

BASE = 32_100
"""Ids of T5's tokenizer, sentinels included; rows of a published table that follow them belong to no id."""


def from_t5(tensors: Mapping[str, Any], config: T5Config, base: int = BASE) -> dict[str, Any]:
    """Parameters of a T5 and of its vocabulary, float32.

    Args:
      tensors: by their official names; anything that numpy can read.
      config: the sizes.
      base: ids of the tokenizer before anything is added to it.

    Returns:
      {"t5": those of `models.T5`, "vocabulary": {"table", "head"} of the base ids and, where the tables have more rows,
      {"new", "new_head"} of these: the spare rows of a published T5, or the ids that were added to it}.

    Raises:
      UserError: tensors are missing, unknown or of other shapes; or there are fewer rows than ids.
    """
    return from_state_dict(tensors, t5_table(tensors, config, base))


def t5_table(tensors: Mapping[str, Slices], config: T5Config, base: int = BASE) -> NameTable:
    """The name table of a T5, see `from_t5`.

    Raises:
      UserError: there are fewer rows than ids.
    """
    rows = {key: tensors[key].shape[0] for key in ("shared.weight", "lm_head.weight") if key in tensors}
    for key, count in rows.items():
        if count < base:
            raise UserError(f"{key} has {count} rows; the tokenizer has {base} ids, which need one each")
    return language_table(config, base, max(rows.values(), default=base) - base)


def to_t5(params: Mapping[str, Any], config: T5Config) -> dict[str, np.ndarray]:
    """The official tensors of what `from_t5` returns; copies of `shared.weight` are the same array."""
    vocabulary = params["vocabulary"]
    new = len(vocabulary["new"]) if "new" in vocabulary else 0
    return to_state_dict(params, language_table(config, len(vocabulary["table"]), new))


def t5_config(values: Mapping[str, Any], name: str = "config.json") -> T5Config:
    """Sizes of a T5 from its `config.json`; dropout is the checkpoint's.

    Raises:
      UserError: it is no T5 v1.1 with an untied head and gated tanh-GELU; says what it is.
    """
    if values.get("model_type") != "t5":
        raise UserError(f"{name} describes a {values.get('model_type')!r}; give a FLAN-T5 or a T5 v1.1")
    kind = values.get("feed_forward_proj", "relu")
    # Transformers 5 says for every T5 that its embeddings are tied; what it says of scaling tells them apart.
    tied = values.get("scale_decoder_outputs", values.get("tie_word_embeddings", True))
    if kind != "gated-gelu" or tied:
        head = "a tied" if tied else "an untied"
        raise UserError(
            f"{name} describes a T5 with {kind} and {head} head; v1.1 has gated-gelu and an untied one: give a "
            "FLAN-T5 or a T5 v1.1"
        )
    try:
        return T5Config(
            width=values["d_model"],
            layers=values["num_layers"],
            decoder_layers=values.get("num_decoder_layers") or values["num_layers"],
            heads=values["num_heads"],
            head_width=values["d_kv"],
            mlp_width=values["d_ff"],
            buckets=values.get("relative_attention_num_buckets", 32),
            max_distance=values.get("relative_attention_max_distance", 128),
            eps=values.get("layer_norm_epsilon", 1e-6),
            dropout=values.get("dropout_rate", 0.1),
        )
    except KeyError as error:
        raise UserError(f"{name} has no {error}, a size of a T5; give the folder of a whole checkpoint") from None


def open_t5(name_or_folder: str | Path) -> tuple[T5Config, dict[str, StoredTensor]]:
    """Sizes and tensors of a T5 checkpoint in a local folder, or on the Hugging Face hub like "google/flan-t5-base".

    Returns:
      (its sizes, its tensors by their official names, none of which is read yet).

    Raises:
      FileNotFoundError: there is none, or a file of it is missing.
      UserError: it is damaged, or no T5 v1.1.
    """
    folder = checkpoint_folder(name_or_folder, "a T5")
    if not (folder / CONFIG).is_file():
        more = "" if any((folder / name).is_file() for name in (WEIGHTS, INDEX)) else f" and no {WEIGHTS}"
        raise FileNotFoundError(f"'{folder}' has no {CONFIG}{more}; give the folder of a T5 checkpoint")
    config = t5_config(read_json(folder / CONFIG), str(folder / CONFIG))
    return config, open_tensors(weight_files(folder, "a T5"))


def t5_files(name_or_folder: str | Path) -> Sequence[Path]:
    """The files with a T5's weights.

    Raises:
      FileNotFoundError: there are none.
    """
    return weight_files(checkpoint_folder(name_or_folder, "a T5"), "a T5")
