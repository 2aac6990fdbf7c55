"""File conversion of motions: BVH, glTF, AMASS, GIF, MP4 ..."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from motiongpt3_jax.commands.arguments import command_parser, number, output_folder, user_path
from motiongpt3_jax.commands.cleaning import clean
from motiongpt3_jax.commands.motions import add_motions, read_usable
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.folder import read_folder, resolve_model
from motiongpt3_jax.motion import Motion, mirror, mirror_caption
from motiongpt3_jax.motion.write_kind import WRITERS, name_of, place_of, write_kind


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = command_parser(
        "convert",
        "A motion file as joints (.npy, .npz), a body that turns (.bvh, .glb, amass), a clip (.gif, .mp4), a strip of "
        "key poses (.png), a page (.html), or the features of InterHuman (interhuman).",
        "motiongpt3 convert --motion motions/motion_000.npy --to mp4",
    )
    add_motions(parser)
    parser.add_argument(
        "--to", required=True, choices=tuple(WRITERS), help="kind of file; bvh, amass and interhuman hold one person"
    )
    parser.add_argument("--fps", type=number, help="resample to this frame rate")
    parser.add_argument("--file-fps", type=number, help="frame rate of files that do not say")
    parser.add_argument(
        "--model", type=user_path, metavar="RUN", help="folder of a model, to undo its normalisation of features"
    )
    parser.add_argument("--mirror", action="store_true", help="swap left and right, in the caption too")
    parser.add_argument(
        "--clean-feet", action="store_true", help="hold feet that slide over the floor where they stand"
    )
    parser.add_argument(
        "--together", action="store_true", help="the files are the persons of one motion, such as a .bvh of each"
    )
    parser.add_argument("--caption", help="a sentence to show with the motion")
    parser.add_argument("--out", type=user_path, help="folder for the results (default: beside each file)")
    return parser


def join_persons(motions: Sequence[tuple[Path, Motion]]) -> tuple[Path, Motion]:
    """One motion of all persons, under the name of the first file.

    Raises:
      UserError: they differ in frames, frame rate or skeleton.
    """
    (path, first), *others = motions
    for other, motion in others:
        for what in ("frames", "fps", "skeleton"):
            theirs, ours = (getattr(each, what) for each in (motion, first))
            if theirs != ours:
                theirs, ours = (each.name if what == "skeleton" else f"{each:g}" for each in (theirs, ours))
                raise UserError(
                    f"--together: '{other}' has {what} {theirs} and '{path}' {ours}; cut or resample them alike, with "
                    "--start, --stop or --fps"
                )
    return path, replace(first, joints=np.concatenate([motion.joints for _, motion in motions]))


def run(arguments: argparse.Namespace) -> int:
    """Converts every file; all are read, and what they become is checked, before the first is written."""
    statistics = read_folder(resolve_model(arguments.model)).statistics if arguments.model else None
    how = {name: getattr(arguments, name) for name in ("mapping", "fps", "file_fps", "start", "stop")}
    read, skipped_files = read_usable(arguments.motion, statistics=statistics, convert=False, **how)
    motions = [(Path(path), motion) for path, motion in read]
    if arguments.together:
        if skipped_files.paths:
            raise UserError("--together needs all of its files, and some cannot be used, see above")
        motions = [join_persons(motions)]
    caption = arguments.caption
    if arguments.mirror:
        motions = [(path, replace(motion, joints=mirror(motion.joints, motion.skeleton))) for path, motion in motions]
        caption = caption and mirror_caption(caption)
    if arguments.clean_feet:
        motions = [(path, clean(motion, str(path))) for path, motion in motions]
    folder = None if arguments.out is None else output_folder(arguments.out)
    places = [(path.parent if folder is None else folder) / name_of(path) for path, _ in motions]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise UserError(f"two files would be written as {place}.*; convert them into different folders with --out")
    for (path, motion), place in zip(motions, places):
        place_of(place.parent, place.name, motion, arguments.to, keep=path)
    for (path, motion), place in zip(motions, places):
        for written in write_kind(place.parent, place.name, motion, arguments.to, caption, keep=path):
            print(written)
    return skipped_files.status
