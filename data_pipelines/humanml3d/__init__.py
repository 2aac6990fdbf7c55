"""Captioned motions of HumanML3D (Guo et al. 2022) and KIT-ML, or of any folder laid out like them."""

from motiongpt3_jax.data_pipelines.humanml3d.convert import OnBad, build, clips, target_offsets
from motiongpt3_jax.data_pipelines.humanml3d.dataset import DATASETS, HUMANML3D_DATA, KIT_ML, Dataset
from motiongpt3_jax.data_pipelines.humanml3d.folder import Folder, open_folder
from motiongpt3_jax.data_pipelines.humanml3d.recordings import Limits, read_recording
from motiongpt3_jax.data_pipelines.humanml3d.survey import Survey, survey

__all__ = [
    "DATASETS",
    "HUMANML3D_DATA",
    "KIT_ML",
    "Dataset",
    "Folder",
    "Limits",
    "OnBad",
    "Survey",
    "build",
    "clips",
    "open_folder",
    "read_recording",
    "survey",
    "target_offsets",
]
