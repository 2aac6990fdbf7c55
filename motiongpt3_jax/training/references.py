"""Frozen parameters of a checkpoint by reference: where they lie, and checksums by which a change there is noticed.

They lie in the last checkpoint of the stage that trained them, in the run's base, or outside of the run in what it
began with. Places in the run are relative to the checkpoint's folder, so that a run can be moved as a whole. What is
referred to stays: the last checkpoint of a stage is always kept, and a stage with a successor is not trained again.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.training.manifest import MANIFEST, checksum, damage, files, read_meta


@dataclass(frozen=True)
class Reference:
    """Parameters that a checkpoint refers to.

    Attributes:
      place: folder that holds them: relative to the checkpoint's where it belongs to the run, absolute where not.
      files: SHA-256 of the files in it that must not change, by name; of a checkpoint, its manifest.
      paths: the parameters.
      origin: what the config calls it where that is no path, such as a hub name whose files lie in a cache; "" if not.
    """

    place: str
    files: dict[str, str]
    paths: tuple[str, ...]
    origin: str = ""

    def folder(self, checkpoint: Path) -> Path:
        """The folder that a checkpoint refers to."""
        if self.outside:
            return Path(self.place)
        names = Path(self.place).parts
        up = names.count("..")
        # Not `normpath`, which takes the address of a store for a path.
        return checkpoint.parents[up - 1].joinpath(*names[up:])

    @property
    def outside(self) -> bool:
        """Whether the folder is none of the run's."""
        return Path(self.place).is_absolute()


@dataclass(frozen=True)
class Outside:
    """Parameters with which a run begins, and which its checkpoints refer to where they lie instead of copying them.

    Attributes:
      patterns: path patterns of the parameters.
      place: the folder that they are read from.
      files: names of the files in it whose contents must not change.
      origin: what the config calls it.
    """

    patterns: tuple[str, ...]
    place: Path
    files: tuple[str, ...]
    origin: str = ""


def refer_to_checkpoint(folder: Path, paths: Iterable[str]) -> Reference:
    """A reference to parameters of another checkpoint of the same run."""
    names = [MANIFEST] if (folder / MANIFEST).is_file() else [str(path.relative_to(folder)) for path in files(folder)]
    return Reference(f"../../{folder.parent.name}/{folder.name}", _checksums(folder, names), tuple(sorted(paths)))


def refer_to_outside(outside: Outside, paths: Iterable[str]) -> Reference:
    """A reference to parameters that lie outside of the run."""
    place = Path(outside.place).absolute()
    origin = "" if os.path.exists(os.path.expanduser(outside.origin or ".")) else outside.origin
    return Reference(str(place), _checksums(place, outside.files), tuple(sorted(paths)), origin)


def references_after(last: Path, frozen: Iterable[str]) -> tuple[Reference, ...]:
    """What a stage refers to that starts from the checkpoint `last` of the one before: whoever trained it last.

    Args:
      last: folder of a checkpoint.
      frozen: paths of the parameters that the stage does not train.
    """
    frozen, references = set(frozen), []
    for reference in references_of(last):
        paths = tuple(path for path in reference.paths if path in frozen)
        if paths:
            references.append(replace(reference, paths=paths))
        frozen -= set(paths)
    return (*references, *([refer_to_checkpoint(last, frozen)] if frozen else []))


def references_of(checkpoint: Path) -> tuple[Reference, ...]:
    """What a checkpoint refers to; nothing where it is of a format that holds everything."""
    entries = read_meta(checkpoint).get("references", ())
    return tuple(
        Reference(entry["place"], entry["files"], tuple(entry["paths"]), entry.get("origin", "")) for entry in entries
    )


def as_meta(references: Sequence[Reference]) -> list[dict[str, Any]]:
    """References as they are written in a checkpoint's `meta`."""
    return [asdict(reference) for reference in references]


def check_references(checkpoint: Path) -> None:
    """Reads what a checkpoint refers to, and refuses what is not as it was.

    Raises:
      UserError: it is missing, damaged or another; says which, and what to do.
    """
    for reference in references_of(checkpoint):
        folder = reference.folder(checkpoint)
        wrong = _difference(folder, reference)
        if wrong:
            more = f" and {len(reference.paths) - 1} more" if len(reference.paths) > 1 else ""
            copy = f"a copy, or {reference.origin!r} on the hub" if reference.origin else "a copy"
            raise UserError(
                f"checkpoint {checkpoint} takes the frozen {reference.paths[0]}{more} from {folder}, {wrong}; "
                f"put it back as it was (from {copy}), or train again in a new run directory."
            )


def _difference(folder: Path, reference: Reference) -> str | None:
    if not folder.exists():
        return "which is missing"
    damaged = None if reference.outside else damage(folder, items=("params", "meta"))
    if damaged:
        return f"which is damaged ({damaged})"
    for name, expected in reference.files.items():
        if not (folder / name).is_file():
            return f"where {name} is missing"
        if checksum(folder / name) != expected:
            return f"which is not what it was ({name} has changed)"
    return None


def _checksums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: checksum(folder / name) for name in names}
