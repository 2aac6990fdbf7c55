"""A published language model as the text branch, whose tensors are read where they are needed."""

from collections.abc import Sequence
from pathlib import Path

from motiongpt3_jax.systems.interface import ModelSpec, Tree
from motiongpt3_jax.systems.language_models import (
    PUBLISHED,
    language_model_table,
    require_sizes,
    stored_language_model,
)
from motiongpt3_jax.systems.motiongpt3.build import build_config, sizes_of
from motiongpt3_jax.systems.motiongpt3.check import read_model
from motiongpt3_jax.systems.motiongpt3.gpt2 import gpt2_sizes, gpt2_table, gpt2_tensors
from motiongpt3_jax.tensors.name_table import NameTable
from motiongpt3_jax.tensors.stored_tensors import (
    CONFIG,
    checkpoint_folder,
    open_tensors,
    read_json,
    stored_params,
    weight_files,
)

GPT2 = "a GPT-2"
"""What a text branch with GPT-2's blocks starts from, in words."""


def pretrained_text(place: str, spec: ModelSpec) -> Tree:
    """The text branch's parameters, none of which is read yet.

    Raises:
      FileNotFoundError: there is no such model, or a file of it is missing.
      UserError: it is damaged, of another kind, or has other sizes than the config; says what to set.
    """
    section, config = read_model(spec.config["model"]).decoder, build_config(spec.config["model"], **sizes_of(spec))
    if section.family != "gpt2":
        return stored_language_model(place, section, config.decoder, config.vocabulary, "vocabulary/text")
    folder = checkpoint_folder(place, GPT2)
    tensors = open_tensors(weight_files(folder, GPT2))
    if (folder / CONFIG).is_file():
        sizes = gpt2_sizes(read_json(folder / CONFIG), f"'{folder / CONFIG}'")
        require_sizes(place, sizes, section, "model.decoder")
    return stored_params(gpt2_tensors(tensors), gpt2_table(config))


def published_names(spec: ModelSpec) -> NameTable:
    """Names of the text branch's tensors in the published model of its family, with its head."""
    config = build_config(spec.config["model"], **sizes_of(spec))
    if spec.config["model"]["decoder"]["family"] == "gpt2":
        return gpt2_table(config).with_prefix("transformer.")
    ids = config.vocabulary
    return language_model_table(config.decoder, ids, ids, config.tied, "vocabulary/text")


def pretrained_files(place: str) -> Sequence[Path]:
    """The files that a text branch is read from."""
    what = " or ".join([GPT2, *(published.title for published in PUBLISHED.values())])
    return weight_files(checkpoint_folder(place, what), what)
