"""A tiny HumanML3D folder, sound until a test damages it."""

from pathlib import Path

import numpy as np

from motiongpt3_jax.motion import HUMANML3D, joints_to_features

NAMES = {"train": ("a", "b"), "val": ("c",), "test": ("d",)}
FRAMES = {"a": 12, "b": 9, "c": 8, "d": 8}
LIMITS = {"min_frames": 5, "max_frames": 20}
"""Frames a clip may have in the tests."""


def walk(frames: int, size: float = 0.2) -> np.ndarray:
    """Joints (frames, 22, 3) of a stiff body with bones of `size` metres that glides ahead."""
    offsets = np.array(HUMANML3D.directions, np.float32) * np.float32(size)
    offsets[[1, 2]] /= 2
    pose = np.zeros((22, 3), np.float32)
    for joint, parent in enumerate(HUMANML3D.parents):
        if joint:
            pose[joint] = pose[parent] + offsets[joint]
    sway = np.sin(np.arange(frames) / 3)[:, None, None] * np.linspace(0, 0.02, 22)[:, None]
    path = np.arange(frames)[:, None, None] * np.array([0, 0, 0.05])
    return (pose + [0, 1, 0] + path + sway * [1, 0, 0]).astype(np.float32)


def humanml3d(root: Path, features: bool = False) -> Path:
    """Writes a folder with joints, or with features, in which nothing is wrong."""
    motions = root / ("new_joint_vecs" if features else "new_joints")
    motions.mkdir(parents=True)
    (root / "texts").mkdir()
    for i, (name, frames) in enumerate(FRAMES.items()):
        joints = walk(frames + 1, 0.2 + 0.02 * i)
        np.save(motions / f"{name}.npy", joints_to_features(joints) if features else joints)
        (root / "texts" / f"{name}.txt").write_text(f"{name} walks#{name}/NOUN walk/VERB#0.0#0.0\nit goes#it#nan#nan\n")
    for split, names in NAMES.items():
        (root / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return root
