"""A motion file as another kind of file."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.commands.arguments import command_parser
from motiongpt3_jax.commands.motions import add_motions, read_motions
from motiongpt3_jax.inference.folder import read_folder, resolve_model
from motiongpt3_jax.motion import (
    Motion,
    clean_feet,
    mirror,
    mirror_caption,
    save_motion,
    write_amass,
    write_bvh,
    write_glb,
)
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


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = command_parser(
        "convert",
        "A motion file as joints (.npy, .npz), a body that turns (.bvh, .glb, amass), a clip (.gif, .mp4), a strip of "
        "key poses (.png) or a page (.html).",
        "motiongpt3 convert --motion motions/motion_000.npy --to mp4",
    )
    add_motions(found)
    found.add_argument(
        "--to", required=True, choices=tuple(WRITERS), help="kind of file; bvh and amass hold one person"
    )
    found.add_argument("--fps", type=float, help="resample to this frame rate")
    found.add_argument("--file-fps", type=float, help="frame rate of files that do not say")
    found.add_argument("--model", metavar="RUN", help="folder of a model, to undo its normalisation of features")
    found.add_argument("--mirror", action="store_true", help="swap left and right, in the caption too")
    found.add_argument("--clean-feet", action="store_true", help="hold feet that slide over the floor where they stand")
    found.add_argument("--caption", help="a sentence to show with the motion")
    found.add_argument("--out", help="folder for the results (default: beside each file)")
    return found


def run(arguments: argparse.Namespace) -> None:
    """Converts every file; all are read before the first is written."""
    body = read_folder(resolve_model(arguments.model)).body if arguments.model else None
    read = read_motions(arguments.motion, arguments.mapping, arguments.fps, arguments.file_fps, body)
    motions = list(zip(map(Path, arguments.motion), read))
    caption = arguments.caption
    if arguments.mirror:
        motions = [(path, replace(motion, joints=mirror(motion.joints, motion.skeleton))) for path, motion in motions]
        caption = caption and mirror_caption(caption)
    if arguments.clean_feet:
        motions = [(path, replace(motion, joints=_with_clean_feet(motion))) for path, motion in motions]
    for path, motion in motions:
        folder = Path(arguments.out) if arguments.out else path.parent
        target = folder / f"{path.stem}.{ENDINGS.get(arguments.to, arguments.to)}"
        if target.resolve() == path.resolve():
            raise ValueError(f"{target} would be written over itself; give another folder with --out")
        target.parent.mkdir(parents=True, exist_ok=True)
        for written in WRITERS[arguments.to](target, motion, caption) or [target]:
            print(written)


def _with_clean_feet(motion: Motion) -> Float[np.ndarray, "persons frames joints 3"]:
    return np.stack([clean_feet(person, motion.skeleton, motion.fps) for person in motion.joints])
