"""Read and write AMASS archives (Mahmood et al. 2019): axis-angle rotations of SMPL-H's joints, z up.

Our rotations count from the T-pose of `motiongpt3_jax.motion.rest`, SMPL's from the rest of its own model. Both are
bodies in T-pose whose bones point the same ways to a few degrees, but a body model has lengths of its own: on it hands
and feet end up elsewhere by as much as its limbs are longer or shorter. AMASS itself has no `offsets`; with them these
files can be read back without a body model.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.fitting import Fitted, fit, forward_kinematics
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.saving import check_exportable, paths_per_person, whole_file
from motiongpt3_jax.motion.skeleton import HUMANML3D

EXTENSION = ".amass.npz"

PELVIS = (-0.0018, -0.2233, 0.0282)
"""Where the body model with zero `betas` has its pelvis, metres: it stands at `trans` and this, unturned."""

_NUMBERS = 3 * 52
"""Values of a pose of SMPL-H: 22 joints of the body, 15 of each hand."""

_BODY = 3 * 22

_Z_UP = np.array([np.sqrt(0.5), np.sqrt(0.5), 0, 0])
"""Turns what has y up so that it has z up."""


def write_amass(path: str | Path, motion: Motion) -> list[Path]:
    """Write a motion as AMASS `.npz`, one file a person; they appear at once or not at all.

    A file holds `poses` (frames, 156), rotation vectors in radians with the hands' zero; `trans` (frames, 3), metres;
    `betas` (16), zeros; `mocap_framerate`; `gender`, "neutral"; and `offsets` (22, 3), each joint from its parent in
    our rest pose, metres, the pelvis from `trans`.

    Args:
      path: the file; `walk.amass.npz` of several persons becomes `walk_1.amass.npz` and so on.
      motion: the motion.

    Returns:
      The files.

    Raises:
      UserError: another ending, another skeleton than HumanML3D's, or a motion that such a file cannot hold.
    """
    paths = paths_per_person(path, EXTENSION, motion.persons)
    check_exportable(path, motion)
    with ExitStack() as stack:
        parts = [stack.enter_context(whole_file(path, EXTENSION)) for path in paths]
        for part, joints in zip(parts, motion.joints):
            np.savez_compressed(part, **_arrays(fit(joints), motion.fps))
    return paths


def _arrays(fitted: Fitted, fps: float) -> dict[str, np.ndarray]:
    local, offsets = fitted.rotations.copy(), fitted.offsets.copy()
    local[:, 0] = rotations.multiply(_Z_UP, local[:, 0])
    offsets[0] = PELVIS
    poses = np.zeros((len(local), _NUMBERS))
    poses[:, :_BODY] = rotations.to_axis_angle(local).reshape(len(local), -1)
    return {
        "poses": poses,
        "trans": rotations.rotate(_Z_UP, fitted.root) - PELVIS,
        "betas": np.zeros(16),
        "mocap_framerate": np.array(fps),
        "gender": np.array("neutral"),
        "offsets": offsets,
    }


def is_amass(content: Mapping[str, np.ndarray]) -> bool:
    """Whether an archive has the keys of AMASS."""
    return "poses" in content and "trans" in content


def read_amass(content: Mapping[str, np.ndarray], what: str, file_fps: float | None = None) -> Motion:
    """Read joints from an AMASS archive with bone offsets, as `write_amass` writes it.

    Args:
      content: the file's arrays.
      what: how errors call it.
      file_fps: frames in a second where the file does not say.

    Raises:
      UserError: the file comes without bones, or its arrays have other shapes or values that are not finite.
    """
    if "offsets" not in content:
        raise UserError(
            f"{what} is a file of AMASS: it has rotations for a body model and no bones; pose SMPL-H by its 'poses', "
            "'betas' and 'trans', and save the model's first 22 joints, y up, as 'joints' (frames, 22, 3)."
        )
    poses, trans = _finite_numbers(content["poses"], "poses", what), _finite_numbers(content["trans"], "trans", what)
    offsets = _finite_numbers(content["offsets"], "offsets", what)
    if poses.ndim != 2 or poses.shape[1] < _BODY or trans.shape != (len(poses), 3) or offsets.shape != (22, 3):
        raise UserError(
            f"{what} has poses of shape {poses.shape}, trans {trans.shape} and offsets {offsets.shape}; expected "
            f"(frames, {_NUMBERS}), (frames, 3) and (22, 3)."
        )
    rates = [content[key] for key in ("mocap_framerate", "mocap_frame_rate") if key in content]
    fps = _finite_numbers(rates[0], "mocap_framerate", what) if rates else np.array(file_fps or HUMANML3D.fps)
    if fps.size != 1:
        raise UserError(f"{what} has a mocap_framerate of shape {fps.shape}; expected one number.")
    local = rotations.from_axis_angle(poses[:, :_BODY].reshape(len(poses), 22, 3))
    joints = forward_kinematics(Fitted(offsets, local, trans + offsets[0]))
    return Motion(rotations.rotate(rotations.inverse(_Z_UP), joints)[None], fps.item())


def _finite_numbers(array: np.ndarray, name: str, what: str) -> Float[np.ndarray, "..."]:
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise UserError(f"{what} has '{name}' with values that are no finite numbers; write it anew.")
    return array.astype(np.float64)
