"""Small made-up motions for the tests of this folder."""

import numpy as np

from motiongpt3_jax.motion import HUMANML3D, Skeleton, rotations
from motiongpt3_jax.motion.kinematics import chain_forward_kinematics


def body(skeleton: Skeleton = HUMANML3D, bone: float = 0.25) -> np.ndarray:
    """Rest bones, shoulders wider than hips."""
    offsets = np.array(skeleton.directions) * bone
    offsets[list(skeleton.hips)] /= 2
    return offsets


def dance(
    skeleton: Skeleton = HUMANML3D, frames: int = 9, turns: float = 0.3, people: tuple[int, ...] = (), seed: int = 0
) -> np.ndarray:
    """Joints (*people, frames, joints, 3), float64, of somebody who drifts, turns and waves high above the floor."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 1, frames)[:, None, None]
    size = (*people, 1, len(skeleton.joints), 3)
    wave = rng.normal(size=size) * np.sin(4 * time + rng.normal(size=size)) / 10
    local = rotations.unit(np.concatenate([np.ones_like(wave[..., :1]), wave], axis=-1))
    local[..., 0, :] = rotations.about_y(1 + 2 * np.pi * turns * time[..., 0, 0])
    path = rng.normal(size=(*people, 1, 3)) * (time[..., 0] + 1) + [0, 2, 0]
    return chain_forward_kinematics(local, path, body(skeleton), skeleton)
