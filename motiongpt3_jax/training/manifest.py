"""The manifest of a checkpoint: SHA-256 checksums of its files, by which damage is noticed before anything is read.

It is written into the folder before Orbax gives that its final name, so a checkpoint has its manifest or is not whole.
Checkpoints of the first format have none. Files that the checkpoint refers to are listed too, by their path from its
folder; whether those are whole is asked by `references.check_references`.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from etils import epath

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.mirror import is_remote

MANIFEST = "manifest.json"

FORMAT = 3
"""Of checkpoints, in their `meta`.

1 (not written there): without a manifest and an order of data. 2: holds frozen parameters too. 3: refers to them.
"""

UNLISTED = (MANIFEST, "_CHECKPOINT_METADATA", "commit_success.txt")
"""Files that a manifest does not list: itself, and what Orbax writes after it, the times of writing."""

SMALL = 2**16
"""Bytes up to which a file's checksum is also compared where a checkpoint is only looked over."""


def write_manifest(folder: Path, referred: Mapping[str, str]) -> None:
    """Writes the checksums of everything in a checkpoint's folder into it, and those of the files it refers to.

    Args:
      folder: the checkpoint.
      referred: checksums of the files that it refers to, by their path from its folder, or their absolute one.
    """
    entries = {str(path.relative_to(folder)): [size_of(path), checksum(path)] for path in files(folder)}
    entries |= {name: [None, sha256] for name, sha256 in referred.items()}
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(entries, file)
        file.flush()
        if not is_remote(folder):
            os.fsync(file.fileno())


def damage(folder: Path, items: Sequence[str] | None = None) -> str | None:
    """What is damaged in a checkpoint, in words; None when nothing is.

    Args:
      folder: the checkpoint.
      items: folders in it whose files are read whole; of others the sizes, and the contents of small files, are
        compared. All are read whole when not given.

    Raises:
      UserError: a newer version wrote it.
    """
    try:
        listed = read_json(folder, MANIFEST) if (folder / MANIFEST).is_file() else None
        wrong = _incomplete(folder) if listed is None else _compare(folder, listed, items)
        if wrong:
            return wrong
        meta = read_json(folder, "meta/metadata")
    except Unreadable as unreadable:
        return str(unreadable)
    if format_of(meta) > FORMAT:
        raise UserError(
            f"checkpoint {folder} has format {format_of(meta)}, and this version reads up to {FORMAT}: update it."
        )
    in_manifest = {name: listed[name][1] for name in listed or () if _is_reference(name)}
    if listed is not None and in_manifest != reference_checksums(meta):
        return f"{MANIFEST} has changed"
    return None


def format_of(meta: Mapping[str, Any]) -> int:
    """The format of a checkpoint, from its `meta`."""
    return meta.get("format", 1)


def reference_checksums(meta: Mapping[str, Any]) -> dict[str, str]:
    """Checksums of the files that a checkpoint refers to, by their path from its folder, from its `meta`."""
    checksums: dict[str, str] = {}
    for reference in meta.get("references", ()):
        checksums |= {f"{reference['place']}/{name}": sha256 for name, sha256 in reference["files"].items()}
    return checksums


class Unreadable(UserError):
    """A file of a checkpoint that is missing, or is not what it should be."""


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of a checkpoint.

    Raises:
      Unreadable: the file is missing or damaged.
    """
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Unreadable(f"{name} is missing") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        raise Unreadable(f"{name} cannot be read") from None
    if not isinstance(content, dict):
        raise Unreadable(f"{name} cannot be read")
    return content


def read_meta(folder: Path) -> dict[str, Any]:
    """What a checkpoint says of itself: its format, stage, trainable patterns, references.

    Raises:
      Unreadable: it is missing or damaged.
    """
    return read_json(folder, "meta/metadata")


def _compare(folder: Path, listed: Mapping[str, Any], items: Sequence[str] | None) -> str | None:
    """The first file of a checkpoint's own that is not as the manifest says."""
    for name, entry in listed.items():
        path = folder / name
        try:
            size, sha256 = entry
            if _is_reference(name):
                continue
            there = size_of(path)
            if there != size:
                return f"{name} has {there} bytes instead of {size}"
            whole = items is None or name.split("/")[0] in items or size <= SMALL
            if whole and checksum(path) != sha256:
                return f"{name} has changed"
        except FileNotFoundError:
            return f"{name} is missing"
        except (OSError, TypeError, ValueError):
            return f"{name} cannot be read"
    return None


def _is_reference(name: str) -> bool:
    return name.startswith(("../", "/"))


def _incomplete(folder: Path) -> str | None:
    """What is missing of a checkpoint that has no manifest."""
    meta = read_meta(folder)
    if format_of(meta) > 1:
        return f"{MANIFEST} is missing"
    for item in meta.get("items", ()):
        if not (folder / item).is_dir():
            return f"{item} is missing"
    read_json(folder, "metrics/metrics")
    return None


def files(folder: Path) -> Iterator[Path]:
    """The files of a checkpoint that its manifest lists."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from files(path)
        elif path.name not in UNLISTED:
            yield path


def size_of(path: Path) -> int:
    """Bytes of a file, on a disk or on a remote store."""
    status = path.stat()
    return status.length if isinstance(path, epath.Path) else status.st_size


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
