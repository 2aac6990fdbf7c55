"""Facing direction, inverse kinematics and forward kinematics of the features, along kinematic chains.

Joints have shape (..., frames, joints, 3) with y up; everything computes in the precision of its input.
"""

from itertools import pairwise

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton

Joints = Float[np.ndarray, "*batch frames joints 3"]
Rotations = Float[np.ndarray, "*batch frames joints 4"]
Headings = Float[np.ndarray, "*batch frames 4"]
Offsets = Float[np.ndarray, "joints 3"]

SMOOTHING = 20.0
"""Standard deviation, in frames, of the Gaussian that smooths the facing direction."""


def facing(joints: Joints, skeleton: Skeleton = HUMANML3D) -> Headings:
    """The rotation about the vertical that makes the body face +z, from its hips and shoulders."""
    (right_hip, left_hip), (right_shoulder, left_shoulder) = skeleton.hips, skeleton.shoulders
    hips = joints[..., right_hip, :] - joints[..., left_hip, :]
    shoulders = joints[..., right_shoulder, :] - joints[..., left_shoulder, :]
    return _heading(hips + shoulders)


def feature_heading(joints: Joints, skeleton: Skeleton = HUMANML3D, smooth: bool = True) -> Headings:
    """The heading that the features count from: `facing`, but as HumanML3D's inverse kinematics has it.

    There the hips enter with left and right exchanged, so that the direction is that of the shoulders beyond the
    hips, and the first frame is always taken to face +z. All models of the field learned from features made so.

    Args:
      joints: the motion.
      skeleton: which joints these are.
      smooth: average the direction over time.
    """
    (right_hip, left_hip), (right_shoulder, left_shoulder) = skeleton.hips, skeleton.shoulders
    hips = joints[..., left_hip, :] - joints[..., right_hip, :]
    shoulders = joints[..., right_shoulder, :] - joints[..., left_shoulder, :]
    across = rotations.unit(hips + shoulders)
    heading = _heading(gaussian_smooth(across) if smooth else across)
    heading[..., 0, :] = (1, 0, 0, 0)
    return heading


def _heading(across: Float[np.ndarray, "*batch frames 3"]) -> Headings:
    # `across` points from left to right, so the body faces y x across = (across z, 0, -across x).
    return rotations.about_y(np.arctan2(-across[..., 2], -across[..., 0]))


def gaussian_smooth(
    x: Float[np.ndarray, "*batch frames n"], sigma: float = SMOOTHING
) -> Float[np.ndarray, "*batch frames n"]:
    """Gaussian low-pass filter along the frames, cut off at four standard deviations; the ends repeat beyond."""
    radius = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).astype(x.dtype)
    padding = [(0, 0)] * (x.ndim - 2) + [(radius, radius), (0, 0)]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, padding, mode="edge"), len(weights), axis=-2)
    return windows @ weights


def bone_rotations(joints: Joints, skeleton: Skeleton = HUMANML3D, smooth: bool = False) -> Rotations:
    """Inverse kinematics: the root's heading, and for every other joint the rotation of the bone that ends there.

    A bone's rotation counts from the bone before it in its chain; a chain's first bone counts from the heading, also
    where the chain begins at the spine. Bones turn from the rest pose the shortest way, so twist carries no meaning.

    Args:
      joints: the motion.
      skeleton: its chains and rest directions.
      smooth: average the facing direction over time, as the features do.
    """
    bones = joints[..., 1:, :] - joints[..., skeleton.parents[1:], :]
    rest = np.asarray(skeleton.directions[1:], joints.dtype)
    heading = feature_heading(joints, skeleton, smooth)
    world = np.concatenate([heading[..., None, :], rotations.between(rest, bones)], axis=-2)
    before = world[..., skeleton.chain_parents[1:], :]
    world[..., 1:, :] = rotations.multiply(rotations.inverse(before), world[..., 1:, :])
    return world


def chain_forward_kinematics(
    local: Rotations, root: Float[np.ndarray, "*batch frames 3"], offsets: Offsets, skeleton: Skeleton = HUMANML3D
) -> Joints:
    """Forward kinematics: joint positions from bone rotations, root path and rest bones."""
    joints = np.empty((*local.shape[:-1], 3), local.dtype)
    joints[..., 0, :] = root
    for chain in skeleton.chains:
        turn = local[..., 0, :]
        for parent, child in pairwise(chain):
            turn = rotations.multiply(turn, local[..., child, :])
            joints[..., child, :] = joints[..., parent, :] + rotations.rotate(turn, offsets[child])
    return joints
