"""Checkpoint lookup: a local file or folder, or a name on the Hugging Face hub."""

import json
import os
import re
from pathlib import Path

from motiongpt3_jax import hub
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.folder import resolve_model
from motiongpt3_jax.tensors.checkpoint_files import SUFFIXES

WEIGHTS = "model.safetensors"
USUAL = (WEIGHTS, "pytorch_model.bin")
"""File names of the weights of a language model."""


def find_source(name: str) -> Path:
    """The file of tensors, or the folder of one of our models, that a name stands for.

    Args:
      name: a file; a folder; `user/name` on the hub, or `user/name/FILE` where it holds several checkpoints.

    Raises:
      FileNotFoundError: there is no such thing.
      UserError: a folder holds no checkpoint, or several.
    """
    path = Path(os.path.expanduser(name))
    inside = re.fullmatch(r"([\w-][\w.-]*/[\w.-]+)/(.+)", name)
    if inside and not path.exists() and not path.parent.exists() and path.suffix in SUFFIXES:
        return _download(inside[1], inside[2])
    folder = resolve_model(name)
    if folder.is_file():
        if folder.name == WEIGHTS and is_ours(folder.parent):
            raise UserError(
                f"--from {name}: these are the weights of one of our models; give its folder {folder.parent}"
            )
        return folder
    if not folder.is_dir():
        raise FileNotFoundError(
            f"--from {name}: there is nothing; give a checkpoint ({', '.join(SUFFIXES)}), a folder or a hub name"
        )
    if is_ours(folder):
        return folder
    usual = next((folder / file for file in USUAL if (folder / file).is_file()), None)
    if usual:
        return usual
    files = sorted(entry.name for entry in folder.iterdir() if entry.suffix in SUFFIXES)
    if not files and not path.exists():
        return _download(name, _only(name, _hub_files(name)))
    return folder / _only(name, files)


def is_ours(folder: Path) -> bool:
    """Whether a folder is that of a run or of an exported model."""
    try:
        config_json = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config_json, dict) and "skeleton" in config_json


def _only(name: str, files: list[str]) -> str:
    if len(files) != 1:
        what = f"several: {', '.join(files)}; name one, as {name}/{files[0]}" if files else "none"
        raise UserError(f"--from {name}: of checkpoints ({', '.join(SUFFIXES)}) it has {what}")
    return files[0]


def _hub_files(name: str) -> list[str]:
    try:
        return sorted(file for file in hub.files(name) if file.endswith(SUFFIXES))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"--from {name}: {error}") from error


def _download(name: str, file: str) -> Path:
    try:
        return Path(hub.file(name, file))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"--from {name}/{file}: there is no such file, and {error}") from error
