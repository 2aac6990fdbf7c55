"""Canonicalise motions: retarget to the model's skeleton, put on the floor, face forward; pure functions of joints.

Joints have shape (..., frames, joints, 3) with y up; everything computes in the precision of its input.
"""

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.kinematics import Joints, Offsets, bone_rotations, chain_forward_kinematics, facing
from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton


def canonicalise(joints: Joints, skeleton: Skeleton = HUMANML3D, offsets: Offsets | None = None) -> Joints:
    """Canonicalise a motion: retarget it to the target body, on the floor, from the origin, facing +z at first.

    Args:
      joints: the motion.
      skeleton: which joints these are.
      offsets: bones of the target body, see `Skeleton.offsets`; without them the motion keeps its proportions.
    """
    if offsets is not None:
        joints = uniform_skeleton(joints, offsets, skeleton)
    return face_forward(to_floor(joints), skeleton)


def uniform_skeleton(joints: Joints, offsets: Offsets, skeleton: Skeleton = HUMANML3D) -> Joints:
    """Retarget to another body: bones keep their directions, the root's path scales with the legs."""
    root = joints[..., 0, :] * leg_scale(joints, offsets, skeleton)
    return chain_forward_kinematics(bone_rotations(joints, skeleton), root, np.asarray(offsets, joints.dtype), skeleton)


def leg_scale(joints: Joints, offsets: Offsets, skeleton: Skeleton = HUMANML3D) -> Float[np.ndarray, "*batch 1 1"]:
    """Ratio of leg lengths: the target body's to this body's in the first frame."""
    legs = list(skeleton.legs)
    ours = np.abs(skeleton.offsets(joints[..., 0, :, :])[..., legs, :]).sum(axis=(-2, -1))
    theirs = np.abs(np.asarray(offsets, joints.dtype)[legs]).sum()
    return (theirs / np.where(ours > 0, ours, theirs))[..., None, None]


def to_floor(joints: Joints) -> Joints:
    """The motion with its lowest point at height 0 and the root of its first frame above the origin."""
    place = joints[..., 0, 0, :].copy()
    place[..., 1] = joints[..., 1].min(axis=(-2, -1))
    return joints - place[..., None, None, :]


def face_forward(joints: Joints, skeleton: Skeleton = HUMANML3D) -> Joints:
    """The motion turned about the vertical through the origin so that its first frame faces +z."""
    return rotations.rotate(facing(joints[..., :1, :, :], skeleton)[..., None, :], joints)
