"""A KIT-ML folder of a few procedural clips, retargeted to its joints; sound until a test damages it."""

from pathlib import Path

import numpy as np

from motiongpt3_jax.data_pipelines.procedural import generate
from motiongpt3_jax.data_pipelines.statistics import statistics
from motiongpt3_jax.motion import KIT, Motion, joints_to_features, resample_motion
from motiongpt3_jax.motion.convert_skeleton import convert_skeleton
from motiongpt3_jax.motion.features import length_columns

NAMES = {"train": ("00001", "00002", "00003"), "val": ("00004",), "test": ("00005",)}


def kit_motion(index: int) -> Motion:
    """A procedural clip with KIT's joints, 12.5 frames a second, metres."""
    motion = Motion(generate(index).joints[None].astype(np.float32))
    return resample_motion(convert_skeleton(motion, KIT), KIT.fps)


def kit_ml(root: Path, features: bool = False, unit: float = KIT.unit) -> Path:
    """Writes a folder with joints, or with features and their statistics, in a unit of so many metres."""
    motions = root / ("new_joint_vecs" if features else "new_joints")
    motions.mkdir(parents=True)
    (root / "texts").mkdir()
    scale = np.where(length_columns(KIT), KIT.unit / unit, 1.0)
    arrays = {}
    for number, name in enumerate(name for names in NAMES.values() for name in names):
        joints = kit_motion(number).joints[0]
        arrays[name] = (joints_to_features(joints, KIT) * scale if features else joints / unit).astype(np.float32)
        np.save(motions / f"{name}.npy", arrays[name])
        (root / "texts" / f"{name}.txt").write_text(f"a person moves {name}#a/DET person/NOUN#0.0#0.0\n")
    if features:
        mean, std = statistics([arrays[name] for name in NAMES["train"]], KIT)
        np.save(root / "Mean.npy", mean)
        np.save(root / "Std.npy", std)
    for split, names in NAMES.items():
        (root / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return root
