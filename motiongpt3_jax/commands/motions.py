"""Arguments for motion files, and reading them: files that cannot be used are left out."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from motiongpt3_jax.commands.arguments import integer, user_path
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.clips import convert_to_model
from motiongpt3_jax.inference.folder import MotionStatistics
from motiongpt3_jax.motion import Motion, read_motion, resample_motion
from motiongpt3_jax.motion.joint_mapping import load_mapping
from motiongpt3_jax.motion.oddities import oddities


def add_motions(parser: argparse.ArgumentParser) -> None:
    """The motion files to read."""
    parser.add_argument(
        "--motion", type=user_path, nargs="+", required=True, metavar="FILE", help="motion files (.npy, .npz or .bvh)"
    )
    parser.add_argument(
        "--mapping",
        type=user_path,
        metavar="FILE",
        help="JSON file, or JSON itself, with what is not found out about files: names of a .bvh's joints, 'unit' "
        "(metres in a unit of the file), 'up' (the vertical axis, e.g. \"-y\"), 'mirrored' (true)",
    )
    parser.add_argument(
        "--start", type=integer, help="leave out the frames before this one, counted from 0 in the file"
    )
    parser.add_argument("--stop", type=integer, help="leave out this frame and all after it")


def note_persons(motions: Mapping[str, Motion]) -> None:
    """Says which files have more persons than the one that is read."""
    for path, motion in motions.items():
        if motion.persons > 1:
            print(f"{path}: of {motion.persons} persons the first is read", file=sys.stderr)


@dataclass
class SkippedFiles:
    """Files that cannot be used while others can: each is said, and the command ends with status 2.

    Attributes:
      files: how many there are in all.
      paths: those that were skipped.
    """

    files: int
    paths: set[str] = field(default_factory=set)

    @contextmanager
    def skip_if_unusable(self, path: str) -> Iterator[None]:
        """Lets the command go on without a file at which the block fails.

        Raises:
          UserError, OSError: that of the block, where there is no other file; or that no file is left.
        """
        try:
            yield
        except BrokenPipeError:
            raise
        except (UserError, OSError) as error:
            if self.files == 1:
                raise
            name = "" if path in str(error) else f"{path}: "
            if path not in self.paths:
                print(f"left out: {name}{error}", file=sys.stderr)
            self.paths.add(path)
            if len(self.paths) == self.files:
                raise UserError(f"none of the {self.files} motion files can be used, see above") from error

    @property
    def status(self) -> int:
        """Exit status of the command."""
        return 2 if self.paths else 0


def read_usable(
    paths: Sequence[str], check: Callable[[str, Motion], None] | None = None, **how: Any
) -> tuple[list[tuple[str, Motion]], SkippedFiles]:
    """(file, motion) of those files that can be used, and the others.

    Args:
      paths: the files.
      check: raises UserError where a motion cannot be used for what is asked.
      how: of `read_motions`.

    Raises:
      UserError, OSError: the mapping is wrong, or no file can be used.
    """
    load_mapping(how.get("mapping"))  # which is wrong for all of them
    motions, skipped_files = [], SkippedFiles(len(set(paths)))
    for path in paths:
        with skipped_files.skip_if_unusable(path):
            (motion,) = read_motions([path], **how)
            if check:
                check(path, motion)
            motions.append((path, motion))
    return motions, skipped_files


def read_motions(
    paths: Sequence[str],
    mapping: str | None = None,
    fps: float | None = None,
    file_fps: float | None = None,
    statistics: MotionStatistics | None = None,
    convert: bool = True,
    start: int | None = None,
    stop: int | None = None,
) -> list[Motion]:
    """The motions in these files; what was found out about a file goes to stderr.

    Args:
      paths: the files.
      mapping: names of the joints of `.bvh` files.
      fps: resample to this many frames in a second.
      file_fps: frames in a second of files that do not say.
      statistics: the model whose statistics make normalised features raw.
      convert: whether motions take on the joints of that model's skeleton.
      start: the first frame of each file that is kept.
      stop: the first frame after it that is not.

    Raises:
      UserError: a file is none, or no frame of it is left.
    """
    mean_and_std = None if statistics is None else (statistics.mean, statistics.std)
    motions = []
    for path in paths:
        # Frames are numbered as the file has them, so they are left out before it is resampled.
        cut = start is not None or stop is not None
        motion, notes = read_motion(path, None if cut else fps, file_fps, mapping, mean_and_std)
        if cut:
            whole, motion = motion, _cut(motion, start, stop, path)
            loaded = load_mapping(mapping)
            odd = oddities(whole, loaded)  # of the frames that are left out nothing needs to be said
            notes = (*(note for note in notes if note not in odd), *oddities(motion, loaded, start or 0))
            motion = motion if fps is None else resample_motion(motion, fps)
        if statistics is not None and convert:
            motion, converted = convert_to_model(motion, statistics)
            notes = (*notes, *converted)
        for note in notes:
            print(f"{path}: {note}", file=sys.stderr)
        motions.append(motion)
    return motions


def _cut(motion: Motion, start: int | None, stop: int | None, path: str) -> Motion:
    first, end = start or 0, motion.frames if stop is None else stop
    if not 0 <= first < end <= motion.frames:
        raise UserError(
            f"motion '{path}' has the frames 0 to {motion.frames - 1}; --start {first} --stop {end} leaves none of "
            "them, or asks for others"
        )
    return replace(motion, joints=motion.joints[:, first:end])
