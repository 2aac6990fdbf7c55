"""A published language model as the text branch: a GPT-2, or a Llama, whose tensors are read where they are needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.interface import ModelSpec, Tree
from motiongpt3_jax.systems.motiongpt3.build import build_config, sizes_of
from motiongpt3_jax.systems.motiongpt3.check import read_model
from motiongpt3_jax.systems.motiongpt3.gpt2 import gpt2_sizes, gpt2_table, gpt2_tensors
from motiongpt3_jax.systems.motiongpt3.llama import llama_sizes, llama_table
from motiongpt3_jax.systems.motiongpt3.sections import DecoderSection
from motiongpt3_jax.tensors.name_table import NameTable
from motiongpt3_jax.tensors.stored_tensors import (
    CONFIG,
    checkpoint_folder,
    open_tensors,
    read_json,
    stored_params,
    weight_files,
)

MODELS: Mapping[str, str] = {"gpt2": "a GPT-2", "llama": "a Llama"}
"""What the text branch of each family starts from, in words."""

TABLE = "model.embed_tokens.weight"
"""A Llama's vectors of ids."""


def pretrained_text(place: str, spec: ModelSpec) -> Tree:
    """The text branch's parameters, none of which is read yet.

    Raises:
      FileNotFoundError: there is no such model, or a file of it is missing.
      UserError: it is damaged, of another kind, or has other sizes than the config; says what to set.
    """
    section = read_model(spec.config["model"]).decoder
    folder, config = (
        checkpoint_folder(place, MODELS[section.family]),
        build_config(spec.config["model"], **sizes_of(spec)),
    )
    tensors = open_tensors(weight_files(folder, MODELS[section.family]))
    if section.family == "gpt2":
        if (folder / CONFIG).is_file():
            _require_sizes(place, gpt2_sizes(read_json(folder / CONFIG), f"'{folder / CONFIG}'"), section)
        return stored_params(gpt2_tensors(tensors), gpt2_table(config))
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(f"'{folder}' has no {CONFIG}; give the folder of a Llama checkpoint")
    values = read_json(folder / CONFIG)
    _require_sizes(place, llama_sizes(values, f"'{folder / CONFIG}'"), section)
    _require_positions(place, values.get("max_position_embeddings"), section)
    rows = tensors[TABLE].shape[0] if TABLE in tensors else config.vocabulary
    if rows < config.vocabulary:
        raise UserError(
            f"{place!r} has {rows} ids, and its tokenizer {config.vocabulary}: set the one that it came with"
        )
    return stored_params(tensors, llama_table(config, rows))


def published_names(spec: ModelSpec) -> NameTable:
    """Names of the text branch's tensors in a `GPT2LMHeadModel` or a `LlamaForCausalLM`."""
    config = build_config(spec.config["model"], **sizes_of(spec))
    if spec.config["model"]["decoder"]["family"] == "gpt2":
        return gpt2_table(config).with_prefix("transformer.")
    return llama_table(config, config.vocabulary)


def pretrained_files(place: str) -> Sequence[Path]:
    """The files that a text branch is read from."""
    what = " or ".join(MODELS.values())
    return weight_files(checkpoint_folder(place, what), what)


def _require_sizes(place: str, theirs: Mapping[str, Any], section: DecoderSection) -> None:
    ours = {"kv_heads": section.kv_heads or section.heads, "mlp_width": section.mlp_widths[0]}
    wrong = [
        f"--config.model.decoder.{name}={str(value).replace(' ', '')}"
        for name, value in theirs.items()
        if value != ours.get(name, getattr(section, name))
    ]
    if wrong:
        raise UserError(f"config.pretrained is {place!r}, which has other sizes than the config; set {' '.join(wrong)}")


def _require_positions(place: str, most: int | None, section: DecoderSection) -> None:
    if most is not None and section.max_positions > most:
        raise UserError(
            f"config.pretrained is {place!r}, which has {most} positions, and the config {section.max_positions}; set "
            f"--config.model.decoder.max_positions={most}"
        )
