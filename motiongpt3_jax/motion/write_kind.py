"""The kinds of file that a motion is written as."""

import sys
from collections.abc import Sequence
from pathlib import Path

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import Motion, save_motion, write_amass, write_bvh, write_glb
from motiongpt3_jax.motion.export_error import export_notes
from motiongpt3_jax.motion.interhuman import write_interhuman
from motiongpt3_jax.motion.pictures import Entry, write_gif, write_mp4, write_page, write_strip
from motiongpt3_jax.motion.saving import check_exportable

WRITERS = {
    "npy": lambda path, motion, caption: save_motion(path, motion),
    "npz": lambda path, motion, caption: save_motion(path, motion),
    "bvh": lambda path, motion, caption: write_bvh(path, motion),
    "glb": lambda path, motion, caption: write_glb(path, motion),
    "amass": lambda path, motion, caption: write_amass(path, motion),
    "interhuman": lambda path, motion, caption: write_interhuman(path, motion),
    "gif": write_gif,
    "mp4": write_mp4,
    "png": write_strip,
    "html": lambda path, motion, caption: write_page(path, [Entry(caption or path.stem, motion, "")]),
}
ENDINGS = {"amass": "amass.npz", "interhuman": "interhuman.npy"}
"""Endings of files, where they are not the kind's own name."""


def name_of(path: Path) -> str:
    """A file's name without its ending, those of `ENDINGS` included."""
    stem = path.stem
    return next((stem[: -len(kind) - 1] for kind in ENDINGS if stem.endswith(f".{kind}")), stem)


def place_of(folder: Path, name: str, motion: Motion, kind: str, keep: Path | None = None) -> Path:
    """Where a motion goes as one kind of file.

    Raises:
      UserError: the file would be written over `keep`, or cannot hold the motion.
    """
    target = folder / f"{name}.{ENDINGS.get(kind, kind)}"
    if keep is not None and target.resolve() == keep.resolve():
        raise UserError(f"{target} would be written over itself; give another folder with --out")
    check_exportable(target, motion)
    return target


def write_kind(
    folder: Path, name: str, motion: Motion, kind: str, caption: str | None = None, keep: Path | None = None
) -> Sequence[Path]:
    """Writes a motion as one kind of file, says how far its joints are off, and returns what was written.

    Args:
      folder: where; made if need be.
      name: of the file, without its ending.
      motion: the motion.
      kind: a key of `WRITERS`.
      caption: a sentence to show in pictures.
      keep: a file that must not be written over.

    Raises:
      UserError: the file would be written over `keep`, or cannot hold the motion.
    """
    target = place_of(folder, name, motion, kind, keep)
    target.parent.mkdir(parents=True, exist_ok=True)
    written = WRITERS[kind](target, motion, caption) or [target]
    for note in export_notes(written, motion):
        print(note, file=sys.stderr)
    return written


def write_motion(path: str | Path, motion: Motion, caption: str | None = None) -> Sequence[Path]:
    """Writes a motion as the kind of file that the path's ending says: one of `WRITERS`, .amass.npz or .interhuman.npy.

    Returns what was written. A file of one person may become one file for each, see `write_kind`.

    Raises:
      UserError: there is no such kind, or the file cannot hold the motion.
    """
    path = Path(path)
    kind = next((kind for kind, ending in ENDINGS.items() if path.name.endswith(f".{ending}")), path.suffix[1:])
    if kind not in WRITERS:
        raise UserError(f"'{path}': there is no kind of file '.{kind}'; there are: {', '.join(WRITERS)}")
    return write_kind(path.parent, path.name.removesuffix(f".{ENDINGS.get(kind, kind)}"), motion, kind, caption)
