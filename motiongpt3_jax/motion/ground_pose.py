"""Planar pose (SE(2)) of a body on the floor: root position and yaw, and rigid motion from one to another."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.kinematics import Joints, facing
from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton


class GroundPose(NamedTuple):
    """Root position on the floor and heading.

    Attributes:
      place: of its root along x and z, metres.
      yaw: the direction (sin yaw, cos yaw) along x and z in which it faces, radians.
    """

    place: Float[np.ndarray, "*batch 2"]
    yaw: Float[np.ndarray, "*batch"]


def ground_poses(joints: Joints, skeleton: Skeleton = HUMANML3D) -> GroundPose:
    """Root position and yaw of every frame."""
    heading = facing(joints, skeleton)
    return GroundPose(joints[..., 0, ::2], -2 * np.arctan2(heading[..., 2], heading[..., 0]))


def wrap_angle(angle: Float[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch"]:
    """Wrap angles to [-pi, pi), radians."""
    return (np.asarray(angle) + np.pi) % (2 * np.pi) - np.pi


def move_to_pose(joints: Joints, start: GroundPose, goal: GroundPose) -> Joints:
    """Rigid transform on the floor that takes the pose `start` to `goal`.

    Poses of one frame move the whole motion as it is; one pose a frame moves each frame by itself.
    """
    q = rotations.about_y(np.asarray(goal.yaw - start.yaw))[..., None, :]
    from_, to = _on_floor(start.place), _on_floor(goal.place)
    return rotations.rotate(q, joints - from_) + to


def _on_floor(place: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 1 3"]:
    x, z = np.moveaxis(np.asarray(place), -1, 0)
    return np.stack([x, np.zeros_like(x), z], axis=-1)[..., None, :]
