"""Joints to features: HumanML3D's 263-dimensional representation (Guo et al. 2022), one row a frame.

With J joints a row holds

    1          rotation of the root about the vertical to the next frame: half its angle, radians
    2          displacement of the root to the next frame along x and z
    1          height of the root
    3 (J - 1)  places of the other joints from the root's ground point
    6 (J - 1)  rotations of their bones from the bone before, as two columns of the rotation matrix
    3 J        displacements of all joints to the next frame
    4          whether left ankle, left toe, right ankle and right toe touch the ground

where x and z are the body's, which faces +z in every frame. Lengths are in the unit of the skeleton's data set. Joints
have shape (..., frames, joints, 3), y up, in metres. All compute in the precision of their input, but
`joints_to_features` and `canonical_to_features` compute in float64 and return float32.
"""

import numpy as np
from jaxtyping import Bool, Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.canonical import canonicalise
from motiongpt3_jax.motion.kinematics import Headings, Joints, Offsets, bone_rotations
from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton

Features = Float[np.ndarray, "*batch frames features"]


def joints_to_features(
    joints: Joints, skeleton: Skeleton = HUMANML3D, offsets: Offsets | None = None
) -> Float[np.ndarray, "*batch frames-1 features"]:
    """HumanML3D features of a motion, which is first canonicalised: target body, on the floor, facing +z.

    Args:
      joints: the motion; its last frame only gives velocities.
      skeleton: which joints these are.
      offsets: bones of the target body, see `Skeleton.offsets`; without them the motion keeps its proportions.

    Raises:
      UserError: wrong shape, or fewer than two frames.
    """
    joints = _check_joints(joints, skeleton)
    return canonical_to_features(canonicalise(joints, skeleton, offsets), skeleton)


def canonical_to_features(
    joints: Joints, skeleton: Skeleton = HUMANML3D
) -> Float[np.ndarray, "*batch frames-1 features"]:
    """HumanML3D features of a canonical motion, which has the right proportions, place and heading already.

    Raises:
      UserError: wrong shape, or fewer than two frames.
    """
    joints = _check_joints(joints, skeleton)
    contacts = foot_contacts(joints, skeleton)
    bones = bone_rotations(joints, skeleton, smooth=True)
    heading = bones[..., 0, :]
    joints = joints / skeleton.unit
    row = (*joints.shape[:-3], joints.shape[-3] - 1, -1)
    parts = (
        yaw_rate(heading),
        root_velocity(joints, heading),
        joints[..., :-1, 0, 1:2],
        relative_joints(joints, heading)[..., :-1, 1:, :].reshape(row),
        rotations.to_6d(bones[..., :-1, 1:, :]).reshape(row),
        joint_velocities(joints, heading).reshape(row),
        contacts,
    )
    return np.concatenate(parts, axis=-1, dtype=np.float32)


def yaw_rate(heading: Headings) -> Float[np.ndarray, "*batch frames-1 1"]:
    """Yaw velocity: half the angle by which the heading turns to the next frame, always the shorter way round."""
    step = rotations.multiply(heading[..., 1:, :], rotations.inverse(heading[..., :-1, :]))
    # q and -q are one rotation: the one with w >= 0 has the half angle that recovery adds up. HumanML3D takes any
    # sign, so that a body that turns past its back jumps in what is recovered from its features.
    sign = np.where(step[..., :1] < 0, -1, 1)
    return np.arcsin(np.clip(sign * step[..., 2:3], -1, 1))


def root_velocity(joints: Joints, heading: Headings) -> Float[np.ndarray, "*batch frames-1 2"]:
    """Root velocity along x and z: displacement to the next frame, seen from the heading of the next frame."""
    displacement = joints[..., 1:, 0, :] - joints[..., :-1, 0, :]
    return rotations.rotate(heading[..., 1:, :], displacement)[..., ::2]


def relative_joints(joints: Joints, heading: Headings) -> Joints:
    """Local joint positions: from the root's ground point, with the body facing +z in every frame."""
    ground = joints[..., :1, :] * np.array([1, 0, 1], joints.dtype)
    return rotations.rotate(heading[..., None, :], joints - ground)


def joint_velocities(joints: Joints, heading: Headings) -> Float[np.ndarray, "*batch frames-1 joints 3"]:
    """Joint velocities: displacements to the next frame, seen from the heading of the frame before."""
    return rotations.rotate(heading[..., :-1, None, :], joints[..., 1:, :, :] - joints[..., :-1, :, :])


def foot_contacts(joints: Joints, skeleton: Skeleton = HUMANML3D) -> Float[np.ndarray, "*batch frames-1 4"]:
    """Foot contact labels: 1 where left ankle, left toe, right ankle, right toe hardly move to the next frame."""
    feet = joints[..., [joint for foot in skeleton.feet for joint in foot], :]
    displacement = (feet[..., 1:, :, :] - feet[..., :-1, :, :]) / skeleton.unit
    return (np.sum(np.square(displacement), axis=-1) < skeleton.contact).astype(joints.dtype)


def length_columns(skeleton: Skeleton = HUMANML3D) -> Bool[np.ndarray, "features"]:
    """Which features are lengths, in the unit of the data set; the others are angles, rotations and contacts."""
    joints = len(skeleton.joints)
    groups = ((False, 1), (True, 3 + 3 * (joints - 1)), (False, 6 * (joints - 1)), (True, 3 * joints), (False, 4))
    return np.concatenate([np.full(count, is_length) for is_length, count in groups])


def _check_joints(joints: Joints, skeleton: Skeleton) -> Joints:
    joints = np.asarray(joints, np.float64)
    count = len(skeleton.joints)
    if joints.ndim < 3 or joints.shape[-2:] != (count, 3) or joints.shape[-3] < 2:
        raise UserError(
            f"joints have shape {joints.shape}; expected (..., frames, {count}, 3) for the skeleton "
            f"'{skeleton.name}', with at least 2 frames because features hold velocities."
        )
    return joints
