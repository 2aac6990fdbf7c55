"""Mean, std and bone offsets for a checkpoint's features: they lie beside the data that it was trained on."""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.data_pipelines import procedural
from motiongpt3_jax.data_pipelines.humanml3d.dataset import BY_FEATURES
from motiongpt3_jax.data_pipelines.humanml3d.folder import FEATURES, Folder, read_array, rescale
from motiongpt3_jax.data_pipelines.problem import Problem
from motiongpt3_jax.data_pipelines.records import open_records
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.folder import MotionStatistics, read_folder
from motiongpt3_jax.motion import Motion, features_to_joints
from motiongpt3_jax.motion.convert_skeleton import convert_skeleton

NEEDED = (
    "--statistics is needed: a checkpoint does not hold the mean and deviation of the features that it was trained on. "
    "Give the folder of HumanML3D or KIT-ML, where Mean.npy and Std.npy lie, another folder with these files, or a "
    "model or built clips that have them"
)


def read_statistics(place: str | Path) -> MotionStatistics:
    """The statistics and bones of a folder: a model's, that of built clips, or one with Mean.npy and Std.npy.

    Where there are features beside them (`new_joint_vecs` of HumanML3D and KIT-ML), the bones are those of the first
    clip: all clips were made with the same. Else they are those of the average adult of the procedural clips, which
    differ from HumanML3D's by a few millimetres. Bones matter for captions alone, where a motion first takes on the
    model's body.

    Args:
      place: a folder, or a file `...Mean.npy` with `...Std.npy` beside it.

    Raises:
      FileNotFoundError: there are no statistics.
      UserError: they are no statistics of HumanML3D's 263 features or KIT-ML's 251.
    """
    path = Path(os.path.expanduser(place))
    if path.is_dir() and (path / "metadata.json").is_file():
        records = open_records(path)
        return MotionStatistics(records.mean, records.std, records.offsets, records.skeleton, records.fps)
    if path.is_dir() and (path / "statistics.npz").is_file():
        return read_folder(path).statistics
    file = path / "Mean.npy" if path.is_dir() else path
    if not file.is_file() or not file.name.endswith("Mean.npy"):
        raise FileNotFoundError(f"--statistics {place}: there is no Mean.npy, and no model or built clips either")
    mean, std = (_array(file.parent, name) for name in (file.name, file.name.removesuffix("Mean.npy") + "Std.npy"))
    if mean.shape != std.shape:
        raise UserError(f"--statistics {place}: Mean.npy has {len(mean)} features, and Std.npy {len(std)}")
    if std.min() <= 0:
        raise UserError(f"--statistics {place}: Std.npy has deviations that are not positive")
    dataset = BY_FEATURES[len(mean)]
    folder, skeleton = Folder(file.parent, dataset), dataset.skeleton
    mean, std = (rescale(array, folder).astype(np.float32) for array in (mean, std))
    return MotionStatistics(mean, std, _bones(folder), skeleton, skeleton.fps)


def _array(folder: Path, name: str) -> Float[np.ndarray, "features"]:
    array = read_array(Folder(folder), name)
    if isinstance(array, Problem):
        raise UserError(f"--statistics {folder}: {array}")
    if array.shape not in [(count,) for count in BY_FEATURES]:
        expected = " or ".join(f"({count},) of {dataset.title}" for count, dataset in BY_FEATURES.items())
        raise UserError(f"--statistics {folder}: {name} has shape {array.shape}; expected {expected}")
    return array


def _bones(folder: Folder) -> Float[np.ndarray, "joints 3"]:
    clips, skeleton = folder.root / FEATURES, folder.dataset.skeleton
    names = [entry.name for entry in os.scandir(clips) if entry.name.endswith(".npy")] if clips.is_dir() else []
    if names:
        features = read_array(folder, f"{FEATURES}/{min(names)}")
        if not isinstance(features, Problem) and features.shape[1:] == (skeleton.features,):
            return skeleton.offsets(features_to_joints(rescale(features[:1], folder), skeleton)[0])
    adult = Motion(procedural.generate(0).joints[None, :1].astype(np.float32))
    return skeleton.offsets(convert_skeleton(adult, skeleton).joints[0, 0])
