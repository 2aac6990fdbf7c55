"""Atomic file writes: files are either whole or absent; and which motions exported files can hold."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.skeleton import HUMANML3D

FARTHEST = 1e5
"""Metres from the origin beyond which the numbers of exported files no longer hold a body."""

RATES = (0.25, 10_000.0)
"""Fewest and most frames in a second that readers of exported files take for frames in a second."""


def check_exportable(path: str | Path, motion: Motion) -> None:
    """Raise UserError where a file of this ending cannot hold the motion, or could not be read again.

    Args:
      path: where it would be written.
      motion: what.
    """
    path, skeleton = Path(path), motion.skeleton
    name, far = path.name.lower(), float(np.abs(motion.joints).max())
    interhuman = name.endswith(".interhuman.npy")  # which has a frame rate of its own
    if name.endswith(".npy") and not interhuman and motion.fps != skeleton.fps:
        raise UserError(
            f"motion '{path}' has {motion.fps:g} fps, which .npy cannot hold (readers take {skeleton.fps:g}); "
            "save it as .npz, or resample it first."
        )
    if (interhuman or name.endswith(".amass.npz")) and skeleton != HUMANML3D:
        what = "InterHuman" if interhuman else "AMASS"
        raise UserError(
            f"cannot write '{path}': {what} has SMPL's joints and this motion those of '{skeleton.name}'; "
            "write it as .bvh or .glb."
        )
    if not name.endswith((".bvh", ".glb", ".amass.npz")):
        return
    if far > FARTHEST:
        raise UserError(
            f"cannot write '{path}': joints lie {far:.3g} m from the origin, and files of this kind hold "
            f"{FARTHEST:,.0f} m; is the unit wrong? Scale the joints to metres."
        )
    if not RATES[0] <= motion.fps <= RATES[1]:
        raise UserError(
            f"cannot write '{path}': {motion.fps:.3g} frames a second are none that readers of such files take; "
            f"resample the motion to a rate from {RATES[0]:g} to {RATES[1]:,.0f}."
        )


@contextmanager
def whole_file(path: str | Path, extension: str) -> Iterator[Path]:
    """Atomic write: a temporary path beside `path` that becomes `path` when the block ends without an error.

    Args:
      path: the file to write; its folder is made if needed.
      extension: the ending it must have, e.g. ".gif".

    Raises:
      UserError: `path` has another ending.
    """
    path = _with_ending(path, extension)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays last: encoders choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{extension}")
    try:
        with failures_of(path, temporary):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def failures_of(path: Path, temporary: Path) -> Iterator[None]:
    """Rewrite errors of a failed write to name its target: a full disk names nothing, or the temporary file.

    Raises:
      OSError: of the same kind; those about other files pass as they are.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None and not str(error.filename).startswith(str(temporary)):
            raise
        reason = error.strerror or str(error)
        if "requested and" in reason:  # how NumPy counts what a full disk did not take
            reason = "not all of it could be written; is the disk full?"
        raise type(error)(f"cannot write '{path}': {reason}") from error


def paths_per_person(path: str | Path, extension: str, persons: int) -> list[Path]:
    """Paths of files that hold one person each: `path` itself for one, else numbers from 1 before the ending.

    Args:
      path: the name for a single person.
      extension: the ending, which stays last, e.g. ".bvh".
      persons: how many there are.

    Raises:
      UserError: `path` has another ending.
    """
    path = _with_ending(path, extension)
    if persons == 1:
        return [path]
    stem = path.name[: -len(extension)]
    return [path.with_name(f"{stem}_{number}{extension}") for number in range(1, persons + 1)]


def _with_ending(path: str | Path, extension: str) -> Path:
    path = Path(path)
    if not path.name.lower().endswith(extension.lower()):
        raise UserError(
            f"cannot write '{path}': what is written is a {extension} file; name it '{path.stem}{extension}'."
        )
    return path
