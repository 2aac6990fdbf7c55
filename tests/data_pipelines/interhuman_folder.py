"""An InterHuman folder of a few procedural pairs; sound until a test damages it."""

import pickle
from pathlib import Path

import numpy as np

from motiongpt3_jax.data_pipelines.procedural_pairs import generate
from motiongpt3_jax.motion import Motion, resample_motion, rotations
from motiongpt3_jax.motion.fitting import fit
from motiongpt3_jax.motion.interhuman import FPS, body_of, write_rows

NAMES = {"train": ("1", "2"), "val": ("3",), "test": ("4",)}
TEXTS = ("one person walks left", "the other turns counterclockwise")


def pair_motion(index: int) -> Motion:
    """A pair at InterHuman's 30 frames a second, somewhere in the world."""
    joints = generate(index).joints[:, :60] + np.array([2.0, 0.0, -1.0])
    return resample_motion(Motion(joints), FPS)


def rows_of(joints: np.ndarray) -> np.ndarray:
    """(frames, 492): 22 joints and 40 of the hands, 21 rotations and 30 of the hands."""
    rows = write_rows(body_of(joints)).astype(np.float32)
    hands = np.zeros((len(rows), 3 * 40), np.float32), np.zeros((len(rows), 6 * 30), np.float32)
    return np.concatenate([rows[:, :66], hands[0], rows[:, 66:], hands[1]], axis=-1)


def pickled(motion: Motion, protocol: int = 4) -> bytes:
    """Both people as rotations for a body model, z up, as the data set has them."""
    turn = np.array([np.sqrt(0.5), np.sqrt(0.5), 0, 0])
    content = {"frames": motion.frames, "mocap_framerate": motion.fps}
    for number, joints in enumerate(motion.joints, 1):
        fitted = fit(joints)
        local = fitted.rotations.copy()
        local[:, 0] = rotations.multiply(turn, local[:, 0])
        poses = rotations.to_axis_angle(local)
        content[f"person{number}"] = {
            "trans": rotations.rotate(turn, fitted.root).astype(np.float32),
            "root_orient": poses[:, 0].astype(np.float32),
            "pose_body": poses[:, 1:].reshape(len(poses), 63),
            "betas": np.zeros(10, np.float32),
            "gender": "male",
        }
    return pickle.dumps(content, protocol)


def interhuman(root: Path, raw: bool = False) -> Path:
    """Writes a folder with joints, or with pickled rotations."""
    (root / "annots").mkdir(parents=True)
    (root / "split").mkdir()
    for number, name in enumerate(name for names in NAMES.values() for name in names):
        motion = pair_motion(number)
        if raw:
            (root / "motions").mkdir(exist_ok=True)
            (root / "motions" / f"{name}.pkl").write_bytes(pickled(motion))
        else:
            for person, joints in enumerate(motion.joints, 1):
                folder = root / "motions_processed" / f"person{person}"
                folder.mkdir(parents=True, exist_ok=True)
                np.save(folder / f"{name}.npy", rows_of(joints))
        (root / "annots" / f"{name}.txt").write_text("".join(f"{text}\n" for text in TEXTS))
    for split, names in NAMES.items():
        (root / "split" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return root
