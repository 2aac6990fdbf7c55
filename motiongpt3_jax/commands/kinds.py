"""The kinds of file that a motion is written as."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import Motion, clean_feet, save_motion, write_amass, write_bvh, write_glb
from motiongpt3_jax.motion.export_error import export_notes
from motiongpt3_jax.motion.feet import skating
from motiongpt3_jax.motion.pictures import Entry, write_gif, write_mp4, write_page, write_strip
from motiongpt3_jax.motion.saving import check_exportable

WRITERS = {
    "npy": lambda path, motion, caption: save_motion(path, motion),
    "npz": lambda path, motion, caption: save_motion(path, motion),
    "bvh": lambda path, motion, caption: write_bvh(path, motion),
    "glb": lambda path, motion, caption: write_glb(path, motion),
    "amass": lambda path, motion, caption: write_amass(path, motion),
    "gif": write_gif,
    "mp4": write_mp4,
    "png": write_strip,
    "html": lambda path, motion, caption: write_page(path, [Entry(caption or path.stem, motion, "")]),
}
ENDINGS = {"amass": "amass.npz"}
"""Endings of files, where they are not the kind's own name."""


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


def clean(motion: Motion, name: str) -> Motion:
    """The motion with feet held where they stand; says how fast they slid over the floor before and afterwards."""
    skeleton, fps = motion.skeleton, motion.fps
    cleaned = np.stack([clean_feet(person, skeleton, fps) for person in motion.joints])
    before = max(skating(person, skeleton, fps) for person in motion.joints)
    after = max(skating(person, skeleton, fps, old) for person, old in zip(cleaned, motion.joints))
    left = "; what slides on and on is left" if after > max(0.5 * before, 0.05) else ""
    print(f"{name}: feet on the floor slid {before:.2f} m/s, now {after:.2f} m/s{left}", file=sys.stderr)
    return replace(motion, joints=cleaned)
