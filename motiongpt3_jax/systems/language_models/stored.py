"""A published language model in safetensors: its parameters, each read only where and as far as it is needed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models import DecoderConfig
from motiongpt3_jax.systems.interface import Tree
from motiongpt3_jax.systems.language_models.name_table import HEAD, TABLE, language_model_table
from motiongpt3_jax.systems.language_models.published import PUBLISHED, read_sizes
from motiongpt3_jax.systems.language_models.sections import LanguageModelSection
from motiongpt3_jax.tensors.stored_tensors import (
    CONFIG,
    Index,
    Slices,
    checkpoint_folder,
    open_tensors,
    read_json,
    stored_params,
    weight_files,
)

SWITCHES = ("attention_cap",)
"""Values that a config may switch off with None: MotionLLM's published code runs Gemma 2 without this cap."""


@dataclass(frozen=True)
class PaddedRows:
    """A table with rows of zeros behind those that a checkpoint has.

    Attributes:
      table: that of the checkpoint.
      rows: how many there shall be.
    """

    table: Slices = field(repr=False)
    rows: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return (self.rows, *self.table.shape[1:])

    def __getitem__(self, index: Index) -> np.ndarray:
        """The numbers of one slice for each axis."""
        (begin, end, _), there = index[0].indices(self.rows), self.table.shape[0]
        if begin >= there:
            # Files of tensors give no empty slices.
            others = (each.indices(size)[:2] for each, size in zip(index[1:], self.shape[1:]))
            return np.zeros((end - begin, *(last - first for first, last in others)), np.float32)
        stored = np.asarray(self.table[(slice(begin, min(end, there)), *index[1:])])
        return np.pad(stored, ((0, max(end - there, 0)), *[(0, 0)] * (stored.ndim - 1)))


def stored_language_model(
    place: str,
    section: LanguageModelSection,
    decoder: DecoderConfig,
    ids: int,
    vocabulary: str = "vocabulary",
    path: str = "model.decoder",
) -> Tree:
    """Parameters of a decoder's first stream and of its vocabulary, none of which is read yet.

    Args:
      place: a folder with `config.json` and safetensors in one file or several, or a name on the hub.
      section: the sizes that the config says, of a family of `PUBLISHED`.
      decoder: the decoder of these sizes.
      ids: of the tokenizer.
      vocabulary: path of the vocabulary's parameters.
      path: where the section stands in a config, as errors name it.

    Raises:
      FileNotFoundError: there is no such model, or a file of it is missing.
      UserError: it is damaged, of another kind, or has other sizes than the config; says what to set.
    """
    published = PUBLISHED[section.family]
    folder = checkpoint_folder(place, published.title)
    tensors: dict[str, Slices] = {**open_tensors(weight_files(folder, published.title))}
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(f"'{folder}' has no {CONFIG}; give the folder of {published.title} checkpoint")
    values = read_json(folder / CONFIG)
    require_sizes(place, read_sizes(values, section.family, f"'{folder / CONFIG}'"), section, path)
    _require_positions(place, values.get("max_position_embeddings"), section, path)
    rows = tensors[TABLE].shape[0] if TABLE in tensors else ids
    if rows < ids <= rows + published.spare_ids:
        tensors |= {name: PaddedRows(tensors[name], ids) for name in (TABLE, HEAD) if name in tensors}
        rows = ids
    if rows < ids:
        raise UserError(f"{place!r} has {rows} ids, and its tokenizer {ids}: set the one that it came with")
    return stored_params(tensors, language_model_table(decoder, ids, rows, section.tied, vocabulary))


def require_sizes(place: str, theirs: Mapping[str, Any], section: LanguageModelSection, path: str) -> None:
    """Raises UserError where a config has other sizes than a published model; says what to set.

    Args:
      place: of the model, as errors name it.
      theirs: its sizes, see `read_sizes`.
      section: those of the config.
      path: where the section stands, as errors name it.
    """
    ours = {
        "kv_heads": section.kv_heads or section.heads,
        "head_width": section.size_of_head,
        "mlp_width": section.mlp_width or 4 * section.width,
    }
    if section.query_pre_attn_scalar == section.size_of_head:
        ours["query_pre_attn_scalar"] = None
    ours |= {name: theirs.get(name) for name in SWITCHES if getattr(section, name) is None}
    wrong = [
        f"--config.{path}.{name}={str(value).replace(' ', '')}"
        for name, value in theirs.items()
        if value != ours.get(name, getattr(section, name))
    ]
    if wrong:
        raise UserError(f"config.pretrained is {place!r}, which has other sizes than the config; set {' '.join(wrong)}")


def _require_positions(place: str, most: int | None, section: LanguageModelSection, path: str) -> None:
    if most is not None and section.max_positions > most:
        raise UserError(
            f"config.pretrained is {place!r}, which has {most} positions, and the config {section.max_positions}; set "
            f"--config.{path}.max_positions={most}"
        )
