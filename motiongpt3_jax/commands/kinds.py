"""The kinds of file that a motion is written as."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from motiongpt3_jax.motion import Motion, clean_feet, save_motion, write_amass, write_bvh, write_glb
from motiongpt3_jax.motion.pictures import Entry, write_gif, write_mp4, write_page, write_strip

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


def write_kind(
    folder: Path, name: str, motion: Motion, kind: str, caption: str | None = None, keep: Path | None = None
) -> Sequence[Path]:
    """Writes a motion as one kind of file; returns what was written.

    Args:
      folder: where; made if need be.
      name: of the file, without its ending.
      motion: the motion.
      kind: a key of `WRITERS`.
      caption: a sentence to show in pictures.
      keep: a file that must not be written over.

    Raises:
      ValueError: the file would be written over `keep`, or cannot hold the motion.
    """
    target = folder / f"{name}.{ENDINGS.get(kind, kind)}"
    if keep is not None and target.resolve() == keep.resolve():
        raise ValueError(f"{target} would be written over itself; give another folder with --out")
    target.parent.mkdir(parents=True, exist_ok=True)
    return WRITERS[kind](target, motion, caption) or [target]


def with_clean_feet(motion: Motion) -> Motion:
    """The motion with feet held where they stand."""
    return replace(motion, joints=np.stack([clean_feet(p, motion.skeleton, motion.fps) for p in motion.joints]))
