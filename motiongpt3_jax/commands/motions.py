"""Motion files as several commands take them."""

import argparse
import sys
from collections.abc import Mapping, Sequence

from motiongpt3_jax.commands.arguments import user_path
from motiongpt3_jax.inference.folder import Body
from motiongpt3_jax.motion import Motion, read_motion


def add_motions(parser: argparse.ArgumentParser) -> None:
    """The motion files to read."""
    parser.add_argument(
        "--motion", type=user_path, nargs="+", required=True, metavar="FILE", help="motion files (.npy, .npz or .bvh)"
    )
    parser.add_argument(
        "--mapping",
        type=user_path,
        metavar="FILE",
        help="JSON file that names the joints of .bvh files of odd skeletons",
    )


def note_persons(motions: Mapping[str, Motion]) -> None:
    """Says which files have more persons than the one that is read."""
    for path, motion in motions.items():
        if motion.persons > 1:
            print(f"{path}: of {motion.persons} persons the first is read", file=sys.stderr)


def read_motions(
    paths: Sequence[str],
    mapping: str | None = None,
    fps: float | None = None,
    file_fps: float | None = None,
    body: Body | None = None,
) -> list[Motion]:
    """The motions in these files; what was found out about a file goes to stderr.

    Args:
      paths: the files.
      mapping: names of the joints of `.bvh` files.
      fps: resample to this many frames in a second.
      file_fps: frames in a second of files that do not say.
      body: the model whose statistics make normalised features raw.
    """
    statistics = None if body is None else (body.mean, body.std)
    motions = []
    for path in paths:
        motion, notes = read_motion(path, fps, file_fps, mapping, statistics)
        for note in notes:
            print(f"{path}: {note}", file=sys.stderr)
        motions.append(motion)
    return motions
