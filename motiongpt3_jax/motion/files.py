"""Load and save motions: `.npy`, `.npz`, and `.bvh` of any tool.

`.npy` holds what the data sets of the field hold, told apart by its shape, in the data set's own unit and at its fps:

    (frames, 22, 3)           joints, HumanML3D          (frames, 21, 3)  joints, KIT-ML
    (persons, frames, 22, 3)  joints of several persons
    (frames, 263)             features, HumanML3D        (frames, 251)    features, KIT-ML
    (frames, 492)             one person of InterHuman   (frames, 262)    features, InterHuman; see `interhuman`

Joints with the frames last, (22, 3, frames) or (1, 22, 3, frames), as MDM writes them, are read as well. Frames before
and after a motion in which all joints lie at one point are padding, and left out. Whether features are raw or
normalised is detected; normalised ones need the mean and std of their data set.

`.npz` holds `joints` (persons, frames, joints, 3) or (frames, joints, 3) in metres, `fps`, and the name of the
`skeleton`; it loses nothing. Ours also hold what follows from these, for other tools, see `fitting`:

    rotations (persons, frames, joints, 4)  quaternions (w, x, y, z) of the joints relative to their parents
    offsets   (persons, joints, 3)          each joint from its parent in T-pose, metres
    root      (persons, frames, 3)          places of the root, metres
    contacts  (persons, frames, 4)          1 where left ankle, left toe, right ankle, right toe rest on the ground

Archives of AMASS are read where they are ours, see `amass`. `.bvh` is read from any tool, see `bvh_read`.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.amass import is_amass, read_amass
from motiongpt3_jax.motion.arrays import Archive, UnreadableArrayError, read_npy
from motiongpt3_jax.motion.bvh_read import read_bvh
from motiongpt3_jax.motion.features import foot_contacts
from motiongpt3_jax.motion.fitting import fit
from motiongpt3_jax.motion.foreign import foreign_remedy
from motiongpt3_jax.motion.interpret import (
    NormalisedFeaturesError,
    Statistics,
    as_float32,
    interpret_array,
    shape_hint,
    standard_axes,
    trim_padding,
)
from motiongpt3_jax.motion.joint_mapping import load_mapping
from motiongpt3_jax.motion.motion import Motion, positive
from motiongpt3_jax.motion.oddities import apply_mapping
from motiongpt3_jax.motion.resample import resample_motion
from motiongpt3_jax.motion.saving import check_exportable, whole_file
from motiongpt3_jax.motion.skeleton import HUMANML3D, SKELETONS, Skeleton

READABLE = (".npy", ".npz", ".bvh")
"""Endings of files that are read."""

RATES = (0.1, 10_000.0)
"""Fewest and most frames a second that a file may have."""

Names = str | os.PathLike[str] | Mapping[str, Any]
"""A mapping of joints, or the JSON file that holds it."""


def load_motion(
    path: str | os.PathLike[str],
    fps: float | None = None,
    file_fps: float | None = None,
    mapping: Names | None = None,
    statistics: Statistics | None = None,
) -> Motion:
    """Load a motion file, without the notes of `read_motion`."""
    return read_motion(path, fps, file_fps, mapping, statistics)[0]


def read_motion(
    path: str | os.PathLike[str],
    fps: float | None = None,
    file_fps: float | None = None,
    mapping: Names | None = None,
    statistics: Statistics | None = None,
) -> tuple[Motion, tuple[str, ...]]:
    """Read a motion from `.npy`, `.npz` or `.bvh`.

    Args:
      path: the file.
      fps: resample to this many frames in a second; by default the motion keeps its own.
      file_fps: frames in a second of a file that does not say; by default its data set's, 20 for HumanML3D.
      mapping: names of the joints of a `.bvh`, unit and vertical axis of any file, see `joint_mapping`.
      statistics: mean and std with which features that are normalised are made raw.

    Returns:
      The motion, and sentences on what was detected or guessed about the file.

    Raises:
      FileNotFoundError: there is no such file.
      UserError: the file holds something else; the message says what and what to do.
    """
    path, what = Path(path), f"motion '{path}'"
    suffix = path.suffix.lower()
    if path.is_dir() or (suffix in READABLE and not path.is_file()):
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"{what} {problem}; give the path of a {' or '.join(READABLE)} file.")
    if suffix not in READABLE:
        raise UserError(
            f"{what} ends in '{path.suffix}'; expected one of {', '.join(READABLE)}{foreign_remedy(suffix)}"
        )
    with _errors_name(what):
        if suffix == ".bvh":
            motion, notes = read_bvh(path, mapping)
        elif suffix == ".npz":
            motion, notes = _from_npz(path, what, file_fps)
        else:
            motion, notes = _from_npy(path, what, file_fps, statistics)
        if suffix != ".bvh":
            motion, mapping_notes = apply_mapping(motion, load_mapping(mapping))
            notes = (*notes, *mapping_notes)
        return (motion if fps is None else resample_motion(motion, fps)), notes


def save_motion(path: str | os.PathLike[str], motion: Motion) -> None:
    """Save a motion as `.npz`, which keeps everything, or as `.npy`, which has no place for another fps.

    The file appears at once or not at all. Folders on the way are made. For files of other tools see `write_bvh`,
    `write_glb` and `write_amass`.

    Raises:
      UserError: another ending, or an fps that `.npy` cannot hold.
    """
    path = Path(path)
    skeleton = motion.skeleton
    if path.suffix not in (".npy", ".npz"):
        raise UserError(f"motion '{path}' ends in '{path.suffix}'; expected one of .npy, .npz.")
    check_exportable(path, motion)
    with whole_file(path, path.suffix) as part, open(part, "wb") as file:
        if path.suffix == ".npy":
            joints = motion.joints[0] if motion.persons == 1 else motion.joints
            np.save(file, joints / np.float32(skeleton.unit), allow_pickle=False)
        else:
            np.savez_compressed(
                file, joints=motion.joints, fps=motion.fps, skeleton=skeleton.name, **_derived_arrays(motion)
            )
        file.flush()
        os.fsync(file.fileno())


def _derived_arrays(motion: Motion) -> dict[str, np.ndarray]:
    """Rotations, offsets, root and contacts, fitted to the joints; a motion of one frame has no contacts."""
    bodies = [fit(joints, motion.skeleton) for joints in motion.joints]
    contacts = np.zeros((motion.persons, motion.frames, 4), np.float32)
    if motion.frames > 1:
        # Contacts are asked of displacements in a frame of the data set, which last longer or shorter than ours.
        contacts[:, :-1] = foot_contacts(motion.joints * (motion.fps / motion.skeleton.fps), motion.skeleton)
        contacts[:, -1] = contacts[:, -2]
    names = ("rotations", "offsets", "root")
    arrays = {name: np.stack([getattr(body, name) for body in bodies]).astype(np.float32) for name in names}
    return {**arrays, "contacts": contacts}


@contextmanager
def _errors_name(what: str) -> Iterator[None]:
    """Prefix errors on what a file holds with the file."""
    try:
        yield
    except NormalisedFeaturesError as error:
        raise UserError(f"{what} {error.what}; {error.advice}, or give --model RUN, whose statistics do it.") from error
    except UnreadableArrayError as error:
        raise UserError(f"{what} {error}") from error
    except UserError as error:
        if what in str(error):
            raise
        raise UserError(f"{what}: {error}") from error


def _from_npy(
    path: Path, what: str, file_fps: float | None, statistics: Statistics | None
) -> tuple[Motion, tuple[str, ...]]:
    content = interpret_array(read_npy(path), statistics)
    _check_rate(file_fps, what)
    fps = file_fps or content.fps or content.skeleton.fps
    return Motion(content.joints, fps, content.skeleton), (*content.notes, *_padding_notes(content.left_out))


def _from_npz(path: Path, what: str, file_fps: float | None) -> tuple[Motion, tuple[str, ...]]:
    with Archive(path) as content:
        if "joints" in content:
            motion, note = _from_joints(content, what, file_fps)
        elif is_amass(content):
            motion, note = read_amass(content, what, file_fps), ""
        else:
            names = ", ".join(f"'{name}'" for name in islice(content, 5)) or "nothing"
            raise UserError(
                f"{what} has no array 'joints', only {names}{' ...' * (len(content) > 5)}; expected 'joints' (persons, "
                "frames, 22, 3) in metres, 'fps', and 'skeleton', the skeleton's name."
            )
    _check_rate(motion.fps, what)
    joints, left_out = trim_padding(motion.joints)
    notes = (note,) if note else ()
    return replace(motion, joints=joints), (*notes, *_padding_notes(left_out))


def _padding_notes(left_out: str) -> tuple[str, ...]:
    if not left_out:
        return ()
    return (f"there is no body in {left_out}, which are left out as padding",)


def _from_joints(content: Archive, what: str, file_fps: float | None) -> tuple[Motion, str]:
    name = content["skeleton"] if "skeleton" in content else np.array(HUMANML3D.name)
    if str(name) not in SKELETONS:
        raise UserError(f"{what} has the skeleton '{name}'; known are {', '.join(SKELETONS)}.")
    skeleton: Skeleton = SKELETONS[str(name)]
    if "fps" in content:
        file_fps = _one_number(content["fps"], "fps")
    _check_rate(file_fps, what)
    joints, note = standard_axes(content["joints"])
    joints = as_float32(joints)
    if joints.ndim not in (3, 4) or joints.shape[-2:] != (len(skeleton.joints), 3):
        raise UserError(
            f"{what} has joints of shape {joints.shape}; expected (persons, frames, {len(skeleton.joints)}, 3) or "
            f"(frames, {len(skeleton.joints)}, 3) for the skeleton '{name}'.{shape_hint(joints.shape)}"
        )
    fps = skeleton.fps if file_fps is None else file_fps
    return Motion(joints if joints.ndim == 4 else joints[None], fps, skeleton), note


def _check_rate(fps: float | None, what: str) -> None:
    low, high = RATES
    if fps is not None and not (positive(fps) and low <= fps <= high):
        raise UserError(f"{what} has fps {fps!r}; expected {low:g} to {high:,.0f} frames in a second.")


def _one_number(array: np.ndarray, name: str) -> float:
    if array.size != 1 or array.dtype.kind not in "iuf":
        raise UnreadableArrayError(f"has {name} {array!r:.60}", "expected one number")
    return float(array.reshape(()))
