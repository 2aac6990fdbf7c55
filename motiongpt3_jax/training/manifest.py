"""The manifest of a checkpoint: SHA-256 checksums of its files, by which damage is noticed before anything is read.

It is written into the folder before Orbax gives that its final name, so a checkpoint has its manifest or is not whole.
Checkpoints of the first format have none.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from motiongpt3_jax.errors import UserError

MANIFEST = "manifest.json"

FORMAT = 2
"""Of checkpoints, in their `meta`. 1 (not written there): without a manifest and an order of data."""

UNLISTED = (MANIFEST, "_CHECKPOINT_METADATA", "commit_success.txt")
"""Files that a manifest does not list: itself, and what Orbax writes after it, the times of writing."""

SMALL = 2**16
"""Bytes up to which a file's checksum is also compared where a checkpoint is only looked over."""


def write_manifest(folder: Path) -> None:
    """Writes the checksums of everything in a checkpoint's folder into it."""
    listed = {str(path.relative_to(folder)): [path.stat().st_size, checksum(path)] for path in _files(folder)}
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(listed, file)
        file.flush()
        os.fsync(file.fileno())


def damage(folder: Path, thorough: bool = True) -> str | None:
    """What is damaged in a checkpoint, in words; None when nothing is.

    Args:
      folder: the checkpoint.
      thorough: whether to read all of it; else the sizes of all files and the contents of small ones are compared.

    Raises:
      UserError: a newer version wrote it.
    """
    try:
        wrong = _compare(folder, thorough) if (folder / MANIFEST).is_file() else _incomplete(folder)
        if wrong:
            return wrong
        version = read_json(folder, "meta/metadata").get("format", 1)
    except Unreadable as unreadable:
        return str(unreadable)
    if version > FORMAT:
        raise UserError(f"checkpoint {folder} has format {version}, and this version reads up to {FORMAT}: update it.")
    return None


class Unreadable(UserError):
    """A file of a checkpoint that is missing, or is not what it should be."""


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of a checkpoint.

    Raises:
      Unreadable: the file is missing or damaged.
    """
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Unreadable(f"{name} is missing") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        raise Unreadable(f"{name} cannot be read") from None
    if not isinstance(found, dict):
        raise Unreadable(f"{name} cannot be read")
    return found


def _compare(folder: Path, thorough: bool) -> str | None:
    """The first file that is not as the manifest says."""
    for name, entry in read_json(folder, MANIFEST).items():
        path = folder / name
        try:
            size, listed = entry
            there = path.stat().st_size
            if there != size:
                return f"{name} has {there} bytes instead of {size}"
            if (thorough or size <= SMALL) and checksum(path) != listed:
                return f"{name} has changed"
        except FileNotFoundError:
            return f"{name} is missing"
        except (OSError, TypeError, ValueError):
            return f"{name} cannot be read"
    return None


def _incomplete(folder: Path) -> str | None:
    """What is missing of a checkpoint that has no manifest."""
    meta = read_json(folder, "meta/metadata")
    if meta.get("format", 1) > 1:
        return f"{MANIFEST} is missing"
    for item in meta.get("items", ()):
        if not (folder / item).is_dir():
            return f"{item} is missing"
    read_json(folder, "metrics/metrics")
    return None


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in UNLISTED)


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
