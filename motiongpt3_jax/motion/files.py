"""Motions in files.

`.npy` holds what the data sets of the field hold, told apart by its shape, in the data set's own unit and at its fps:

    (frames, 22, 3)           joints, HumanML3D          (frames, 21, 3)  joints, KIT-ML
    (persons, frames, 22, 3)  joints of several persons
    (frames, 263)             features, HumanML3D        (frames, 251)    features, KIT-ML

Whether features are raw or normalised is found out; normalised ones need the mean and std of their data set.

`.npz` holds `joints` (persons, frames, joints, 3) or (frames, joints, 3) in metres, `fps`, and the name of the
`skeleton`; it loses nothing. Ours also hold what follows from these, for other tools, see `fitting`:

    rotations (persons, frames, joints, 4)  quaternions (w, x, y, z) of the joints relative to their parents
    offsets   (persons, joints, 3)          each joint from its parent in T-pose, metres
    root      (persons, frames, 3)          places of the root, metres
    contacts  (persons, frames, 4)          1 where left ankle, left toe, right ankle, right toe rest on the ground

Archives of AMASS are read where they are ours, see `amass`. `.bvh` is read from any tool, see `bvh_reader`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion.amass import is_amass, read_amass
from motiongpt3_jax.motion.bvh_reader import read_bvh
from motiongpt3_jax.motion.features import foot_contacts
from motiongpt3_jax.motion.fitting import fit
from motiongpt3_jax.motion.foreign import foreign_remedy
from motiongpt3_jax.motion.joint_mapping import load_mapping
from motiongpt3_jax.motion.motion import Motion, joints_hint
from motiongpt3_jax.motion.normalised import looks_normalised
from motiongpt3_jax.motion.oddities import corrected
from motiongpt3_jax.motion.recover import features_to_joints
from motiongpt3_jax.motion.resample import resampled
from motiongpt3_jax.motion.saving import check_exportable, whole_file
from motiongpt3_jax.motion.skeleton import HUMANML3D, SKELETONS, Skeleton

READABLE = (".npy", ".npz", ".bvh")
EXPECTED = "expected (frames, 22, 3) joints in metres or (frames, 263) features."

Statistics = tuple[Float[np.ndarray, "features"], Float[np.ndarray, "features"]]
"""Mean and std of a data set's features."""

Names = str | os.PathLike[str] | Mapping[str, Any]
"""A mapping of joints, or the JSON file that holds it."""


def load_motion(
    path: str | os.PathLike[str],
    fps: float | None = None,
    file_fps: float | None = None,
    mapping: Names | None = None,
    statistics: Statistics | None = None,
) -> Motion:
    """The motion of `read_motion` alone."""
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
      The motion, and sentences on what was found out or guessed about the file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file holds something else; the message says what and what to do.
    """
    path, what = Path(path), f"motion '{path}'"
    suffix = path.suffix.lower()
    if path.is_dir() or (suffix in READABLE and not path.is_file()):
        found = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"{what} {found}; give the path of a {' or '.join(READABLE)} file.")
    if suffix not in READABLE:
        raise ValueError(
            f"{what} ends in '{path.suffix}'; expected one of {', '.join(READABLE)}{foreign_remedy(suffix)}"
        )
    if suffix == ".bvh":
        motion, notes = read_bvh(path, mapping)
    elif suffix == ".npz":
        motion = _from_npz(_read(path, what), what, file_fps)
        motion, notes = corrected(motion, load_mapping(mapping))
    else:
        motion, notes = _from_npy(_read(path, what), what, file_fps, statistics)
        motion, said = corrected(motion, load_mapping(mapping))
        notes = (*notes, *said)
    return (motion if fps is None else resampled(motion, fps)), notes


def save_motion(path: str | os.PathLike[str], motion: Motion) -> None:
    """Write a motion as `.npz`, which keeps everything, or as `.npy`, which has no place for another fps.

    The file appears at once or not at all. Folders on the way are made. For files of other tools see `write_bvh`,
    `write_glb` and `write_amass`.

    Raises:
      ValueError: another ending, or an fps that `.npy` cannot hold.
    """
    path = Path(path)
    skeleton = motion.skeleton
    if path.suffix not in (".npy", ".npz"):
        raise ValueError(f"motion '{path}' ends in '{path.suffix}'; expected one of .npy, .npz.")
    check_exportable(path, motion)
    with whole_file(path, path.suffix) as part, open(part, "wb") as file:
        if path.suffix == ".npy":
            joints = motion.joints[0] if motion.persons == 1 else motion.joints
            np.save(file, joints / np.float32(skeleton.unit), allow_pickle=False)
        else:
            np.savez_compressed(file, joints=motion.joints, fps=motion.fps, skeleton=skeleton.name, **_bodies(motion))
        file.flush()
        os.fsync(file.fileno())


def _bodies(motion: Motion) -> dict[str, np.ndarray]:
    """What follows from the joints; a motion of one frame has no contacts."""
    bodies = [fit(joints, motion.skeleton) for joints in motion.joints]
    contacts = np.zeros((motion.persons, motion.frames, 4), np.float32)
    if motion.frames > 1:
        # Contacts are asked of displacements in a frame of the data set, which last longer or shorter than ours.
        contacts[:, :-1] = foot_contacts(motion.joints * (motion.fps / motion.skeleton.fps), motion.skeleton)
        contacts[:, -1] = contacts[:, -2]
    names = ("rotations", "offsets", "root")
    arrays = {name: np.stack([getattr(body, name) for body in bodies]).astype(np.float32) for name in names}
    return {**arrays, "contacts": contacts}


def _read(path: Path, what: str) -> np.ndarray | dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return content
            return {name: content[name] for name in content.files}
    except Exception as error:  # a damaged file fails in any way
        with open(path, "rb") as file:
            head = file.read(8)
        if head and not head.startswith((b"\x93NUMPY", b"PK")):
            raise ValueError(f"{what} is no {path.suffix} file: it begins with {head!r}; save it with numpy.") from None
        if "allow_pickle" in str(error):
            raise ValueError(
                f"{what} holds pickled Python objects, which could run code and are never loaded; "
                "save plain numbers, e.g. numpy.save(path, joints.astype('float32'))."
            ) from None
        raise ValueError(f"{what} is not a readable {path.suffix} file ({error}); write it anew.") from error


def _from_npy(
    content: np.ndarray | Mapping[str, np.ndarray], what: str, file_fps: float | None, statistics: Statistics | None
) -> tuple[Motion, tuple[str, ...]]:
    if not isinstance(content, np.ndarray):
        raise ValueError(f"{what} is a .npz archive under the name .npy; rename it.")
    array = _numbers(content, what)
    by_features = {skeleton.features: skeleton for skeleton in SKELETONS.values()}
    by_joints = {len(skeleton.joints): skeleton for skeleton in SKELETONS.values()}
    if array.ndim == 2 and array.shape[1] in by_features:
        skeleton = by_features[array.shape[1]]
        _check_filled(array, what)
        array, notes = _raw(array, skeleton, what, statistics)
        joints = features_to_joints(array, skeleton)[None]
    elif array.ndim in (3, 4) and array.shape[-1] == 3 and array.shape[-2] in by_joints:
        skeleton = by_joints[array.shape[-2]]
        _check_filled(array, what)
        joints, notes = (array if array.ndim == 4 else array[None]) * np.float32(skeleton.unit), ()
    else:
        raise ValueError(f"{what} has shape {array.shape}; {EXPECTED}{_shape_hint(array.shape)}")
    return Motion(joints, skeleton.fps if file_fps is None else file_fps, skeleton), notes


def _raw(
    features: Float[np.ndarray, "frames features"], skeleton: Skeleton, what: str, statistics: Statistics | None
) -> tuple[Float[np.ndarray, "frames features"], tuple[str, ...]]:
    if not looks_normalised(features, skeleton):
        return features, ("features are read as raw",)
    if statistics is None:
        raise ValueError(
            f"{what} holds features that look normalised; multiply by the std and add the mean of their data set, or "
            "give --model RUN, whose statistics do it."
        )
    mean, std = statistics
    if mean.shape != features.shape[1:]:
        raise ValueError(f"{what} has {features.shape[1]} features a frame; the model's statistics are of {len(mean)}.")
    raw = features * std + mean
    if looks_normalised(raw, skeleton):
        raise ValueError(f"{what} holds features that are neither raw nor normalised with the model's statistics.")
    return raw, ("features are read as normalised, with the model's statistics",)


def _from_npz(content: np.ndarray | Mapping[str, np.ndarray], what: str, file_fps: float | None) -> Motion:
    if isinstance(content, np.ndarray):
        raise ValueError(f"{what} is a .npy array under the name .npz; rename it.")
    if "joints" not in content:
        if is_amass(content):
            return read_amass(content, what, file_fps)
        found = ", ".join(f"'{name}'" for name in content) or "nothing"
        raise ValueError(
            f"{what} has no array 'joints', only {found}; expected 'joints' (persons, frames, 22, 3) in metres, "
            "'fps', and 'skeleton', the skeleton's name."
        )
    joints = _numbers(content["joints"], what)
    name = str(content["skeleton"]) if "skeleton" in content else HUMANML3D.name
    if name not in SKELETONS:
        raise ValueError(f"{what} has the skeleton '{name}'; known are {', '.join(SKELETONS)}.")
    skeleton: Skeleton = SKELETONS[name]
    _check_filled(joints, what)
    fps = _one_number(content["fps"], what) if "fps" in content else skeleton.fps if file_fps is None else file_fps
    if joints.ndim not in (3, 4) or joints.shape[-2:] != (len(skeleton.joints), 3):
        raise ValueError(
            f"{what} has joints of shape {joints.shape}; expected (persons, frames, {len(skeleton.joints)}, 3) or "
            f"(frames, {len(skeleton.joints)}, 3) for the skeleton '{name}'.{_shape_hint(joints.shape)}"
        )
    return Motion(joints if joints.ndim == 4 else joints[None], fps, skeleton)


def _numbers(array: np.ndarray, what: str) -> np.ndarray:
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"{what} holds {array.dtype} values; expected floating point numbers.")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        return array.astype(np.float32)


def _one_number(array: np.ndarray, what: str) -> float:
    if array.size != 1 or not np.issubdtype(array.dtype, np.number):
        raise ValueError(f"{what} has fps {array!r}; expected one number.")
    return float(array.reshape(()))


def _check_filled(array: np.ndarray, what: str) -> None:
    if 0 in array.shape:
        raise ValueError(f"{what} is empty: its shape is {array.shape}; expected at least one frame.")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise ValueError(
            f"{what} has {len(bad)} values that are not finite (NaN or infinite), the first at index "
            f"{tuple(int(i) for i in bad[0])} of shape {array.shape}; drop or fill these frames first."
        )


def _shape_hint(shape: tuple[int, ...]) -> str:
    if shape[:1] in ((263,), (251,)) and len(shape) == 2:
        return "\nThe axes look exchanged: save array.T."
    if len(shape) == 2 and shape[1] in (66, 63):
        return f"\nThese look like flat joints: use array.reshape(-1, {shape[1] // 3}, 3)."
    if shape in ((22, 3), (21, 3)):
        return "\nThis looks like one pose: add the axis of the frames with array[None]."
    if len(shape) == 3 and shape[-1] in (263, 251):
        return "\nThis looks like a batch of features: save one motion a file."
    return joints_hint(shape, HUMANML3D)
