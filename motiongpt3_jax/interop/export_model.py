"""Export of a model: a folder of safetensors to share, or a checkpoint of other code."""

import os
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.exported import require_free, write_exported
from motiongpt3_jax.inference.folder import read_folder, resolve_model
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.motion.saving import whole_file
from motiongpt3_jax.places import require_room
from motiongpt3_jax.tensors.checkpoint_files import import_torch

SAFETENSORS = "safetensors"
PYTORCH = "pytorch"


class ExportResult(NamedTuple):
    """What an export has written.

    Attributes:
      files: where.
      notes: what there is to say of it, a sentence each.
    """

    files: list[Path]
    notes: list[str]


def export_model(
    model: str | Path, out: str | Path, format: str = SAFETENSORS, which: Literal["last", "best"] = "last"
) -> ExportResult:
    """Writes a model for others.

    Args:
      model: a run's folder, an exported model's, or its name on the hub.
      out: a folder for "safetensors", a file for the formats of other code.
      format: "safetensors" (weights, config, tokenizer, statistics and a card, which can be pushed to the hub), or one
        of `Weights.exporters` of the model's system; of these the statistics lie beside the file.
      which: the last checkpoint, or the one with the best validation.

    Raises:
      FileExistsError: something else lies at `out`.
      UserError: the model cannot be exported so.
    """
    if format == SAFETENSORS:
        out = require_free(out)
        require_room("--out", out, "a folder")
    else:
        out = require_file(out)
        require_room("--out", out, "a file")
    folder = read_folder(resolve_model(model))
    exporters = folder.kind.weights.exporters
    if format != SAFETENSORS and format not in exporters:
        there = ", ".join((SAFETENSORS, *exporters))
        raise UserError(f"--format {format}: there is none for a {folder.kind.title}; there are: {there}")
    if format == PYTORCH:
        import_torch()  # said before a large model is read
    stage, step, variables = read_variables(folder, which)
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
