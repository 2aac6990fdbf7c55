"""Export of a model: a folder of safetensors to share, or a checkpoint of other code."""

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.exported import require_free, write_exported
from motiongpt3_jax.inference.folder import ModelFolder, read_folder, resolve_model
from motiongpt3_jax.inference.weights import open_variables, read_variables
from motiongpt3_jax.interop.peft_adapter import PEFT_FILES, write_peft
from motiongpt3_jax.models.lora import merge_adapter, without_adapters
from motiongpt3_jax.motion.saving import whole_file
from motiongpt3_jax.places import require_room
from motiongpt3_jax.systems.adapters import read_adapters
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.tensors.checkpoint_files import import_torch

SAFETENSORS = "safetensors"
PYTORCH = "pytorch"
PEFT = "peft"
FOLDERS = (SAFETENSORS, PEFT)
"""Formats that are folders."""


class ExportResult(NamedTuple):
    """What an export has written.

    Attributes:
      files: where.
      notes: what there is to say of it, a sentence each.
    """

    files: list[Path]
    notes: list[str]


def export_model(
    model: str | Path,
    out: str | Path,
    format: str = SAFETENSORS,
    which: Literal["last", "best"] = "last",
    adapter: str = "",
) -> ExportResult:
    """Writes a model for others.

    Args:
      model: a run's folder, an exported model's, or its name on the hub.
      out: a folder for "safetensors" and "peft", a file for the formats of other code.
      format: "safetensors" (weights, config, tokenizer, statistics and a card, which can be pushed to the hub), "peft"
        (a LoRA adapter alone, for the published model that it adapts), or one of `Weights.exporters` of the model's
        system; of these the statistics lie beside the file.
      which: the last checkpoint, or the one with the best validation.
      adapter: the LoRA adapter of "peft"; of the other formats one that becomes part of the kernels, so that the
        exported model has none. "" for none, or for the only one of "peft".

    Raises:
      FileExistsError: something else lies at `out`.
      UserError: the model cannot be exported so.
    """
    if format in FOLDERS:
        out = require_free(out) if format == SAFETENSORS else require_adapter_folder(out)
        require_room("--out", out, "a folder")
    else:
        out = require_file(out)
        require_room("--out", out, "a file")
    folder = read_folder(resolve_model(model))
    weights, adapters = folder.kind.weights, folder.config["model"].get("lora", {})
    exporters = weights.exporters
    if format not in FOLDERS and format not in exporters:
        there = ", ".join((*FOLDERS, *exporters))
        raise UserError(f"--format {format}: there is none for a {folder.kind.title}; there are: {there}")
    if adapter and format in weights.adapter_formats:
        raise UserError(f"--format {format} holds all LoRA adapters of a {folder.kind.title}: leave --adapter out")
    if format not in weights.adapter_formats:
        adapter = choose_adapter(adapter, adapters, format)
    if format == PYTORCH:
        import_torch()  # said before a large model is read
    read = open_variables if format == SAFETENSORS and not adapter else read_variables
    stage, step, variables = read(folder, which)
    if format == PEFT:
        return ExportResult(write_peft(out, folder, variables, adapter), [])
    if adapter:
        folder, variables = merge_into_base(folder, variables, adapter)
    if format == SAFETENSORS:
        write_exported(out, folder, variables, (stage, step))
        return ExportResult(sorted(path for path in out.rglob("*") if path.is_file()), [])
    folder.require_trained()
    out.parent.mkdir(parents=True, exist_ok=True)
    notes = exporters[format](out, folder.spec, variables)
    files = [out]
    for name, array in (("Mean", folder.statistics.mean), ("Std", folder.statistics.std)):
        files.append(out.with_name(f"{out.stem}_{name}.npy"))
        with whole_file(files[-1], ".npy") as fresh:
            np.save(fresh, array)
    return ExportResult(files, notes)


def choose_adapter(name: str, adapters: Collection[str], format: str) -> str:
    """Name of the adapter that an export is about; "" for none.

    Raises:
      UserError: there is none of that name, or one has to be named.
    """
    there = f"it has: {', '.join(adapters)}" if adapters else "it has none"
    if name and name not in adapters:
        raise UserError(f"--adapter {name}: the model has no such LoRA adapter; {there}")
    if name or format == SAFETENSORS:
        return name
    if format == PEFT and len(adapters) == 1:
        return next(iter(adapters))
    if format == PEFT:
        raise UserError(f"--format {PEFT} writes one LoRA adapter of the model, and {there}; name one with --adapter")
    if adapters:
        raise UserError(
            f"--format {format} has no place for LoRA adapters, and {there}; name one to merge with --adapter"
        )
    return ""


def merge_into_base(folder: ModelFolder, variables: Variables, name: str) -> tuple[ModelFolder, Variables]:
    """A model whose kernels have become those with a LoRA adapter, and which has no adapters."""
    model, config = folder.config["model"], folder.config
    params = jax.tree.map(np.asarray, merge_adapter(variables.params, read_adapters(model["lora"]), name)[0])
    stages = {key: _without_adapter(stage) for key, stage in config["stages"].items()}
    config = {**config, "model": {**model, "lora": {}}, "stages": stages}
    return replace(folder, config=config), variables.replace(params=without_adapters(params))


def _without_adapter(stage: Mapping[str, Any]) -> Mapping[str, Any]:
    if "adapter" not in stage.get("objective", {}):
        return stage
    return {**stage, "objective": {**stage["objective"], "adapter": ""}}


def require_adapter_folder(out: str | Path) -> Path:
    """The folder that a PEFT adapter may be written to: new, empty, or that of another.

    Raises:
      FileExistsError: something else lies there.
      UserError: it has no name.
    """
    if not str(out):
        raise UserError("--out is empty; give a folder")
    path = Path(os.path.expanduser(out))
    if path.exists() and (not path.is_dir() or {entry.name for entry in path.iterdir()} - {*PEFT_FILES}):
        raise FileExistsError(f"--out {out}: something else than a PEFT adapter lies there; give a new folder")
    return path


def require_file(out: str | Path) -> Path:
    """The file that a checkpoint may be written to.

    Raises:
      FileExistsError: a folder stands there.
      UserError: it has no name.
    """
    if not str(out):
        raise UserError("--out is empty; give a file such as motiongpt3.ckpt")
    path = Path(os.path.expanduser(out))
    if path.is_dir():
        raise FileExistsError(f"--out {out}: a folder stands there; give a file such as {path / 'motiongpt3.ckpt'}")
    return path
