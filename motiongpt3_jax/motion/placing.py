"""Where a body stands and faces, and bodies moved there; about the vertical alone, as a floor allows."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.kinematics import Joints, facing
from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton


class Stance(NamedTuple):
    """Where a body is in a frame.

    Attributes:
      place: of its root along x and z, metres.
      yaw: the direction (sin yaw, cos yaw) along x and z in which it faces, radians.
    """

    place: Float[np.ndarray, "*batch 2"]
    yaw: Float[np.ndarray, "*batch"]


def stances(joints: Joints, skeleton: Skeleton = HUMANML3D) -> Stance:
    """The stance of every frame."""
    heading = facing(joints, skeleton)
    return Stance(joints[..., 0, ::2], -2 * np.arctan2(heading[..., 2], heading[..., 0]))


def turned(angle: Float[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch"]:
    """The same angle from -pi to pi, radians."""
    return (np.asarray(angle) + np.pi) % (2 * np.pi) - np.pi


def moved(joints: Joints, start: Stance, goal: Stance) -> Joints:
    """The motion turned about the place of `start` and carried along so that this stance becomes `goal`.

    Stances of one frame move the whole motion as it is; one stance a frame moves each frame by itself.
    """
    q = rotations.about_y(np.asarray(goal.yaw - start.yaw))[..., None, :]
    from_, to = _upright(start.place), _upright(goal.place)
    return rotations.rotate(q, joints - from_) + to


def _upright(place: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 1 3"]:
    x, z = np.moveaxis(np.asarray(place), -1, 0)
    return np.stack([x, np.zeros_like(x), z], axis=-1)[..., None, :]
