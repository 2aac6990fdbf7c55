import numpy as np
import pytest

from motiongpt3_jax.motion.motion import Motion

# A standing body, arms hanging, facing +z: (x, y, z) of HumanML3D's 22 joints in metres.
STANDING = np.array(
    [
        *([0, 0.93, 0], [0.08, 0.85, 0], [-0.08, 0.85, 0], [0, 1.05, 0], [0.1, 0.48, 0], [-0.1, 0.48, 0]),
        *([0, 1.18, 0], [0.1, 0.08, 0], [-0.1, 0.08, 0], [0, 1.24, 0], [0.1, 0.02, 0.13], [-0.1, 0.02, 0.13]),
        *([0, 1.45, 0], [0.06, 1.37, 0], [-0.06, 1.37, 0], [0, 1.55, 0.04], [0.18, 1.4, 0], [-0.18, 1.4, 0]),
        *([0.22, 1.13, 0], [-0.22, 1.13, 0], [0.22, 0.88, 0.05], [-0.22, 0.88, 0.05]),
    ]
)
LEFT_WRIST = 20


def walking(frames: int = 8, metres: float = 0.5, persons: int = 1, fps: float = 20.0) -> Motion:
    """Bodies that glide forward (+z), side by side, while their left hands rise."""
    joints = np.tile(STANDING, (persons, frames, 1, 1))
    joints[..., 2] += np.linspace(0, metres, frames)[:, None]
    joints[..., 0] += np.arange(persons)[:, None, None] * 1.0
    joints[:, :, LEFT_WRIST, 1] += np.linspace(0, 0.6, frames)
    return Motion(joints, fps=fps)


@pytest.fixture(name="walking")
def walking_fixture():
    return walking
