"""Data sets that come as folders laid out like HumanML3D's: what one of them has that another has not."""

from dataclasses import dataclass

import numpy as np

from motiongpt3_jax.motion import HUMANML3D, KIT, Skeleton

LEG = 0.82
"""Metres from hip to ankle of a grown-up."""


@dataclass(frozen=True)
class Dataset:
    """A data set in HumanML3D's layout of folders.

    Attributes:
      source: how settings and commands call it.
      title: how people call it.
      skeleton: its joints, features, and frames in a second.
      min_frames: of its shortest clips.
      unit: in which its files measure lengths, for messages.
      units: metres in a unit of its files; of several the one in which bodies are likeliest a grown-up's size.
    """

    source: str
    title: str
    skeleton: Skeleton
    min_frames: int
    unit: str
    units: tuple[float, ...]

    @property
    def feature_shape(self) -> str:
        """Shape of a clip's features, for messages."""
        return f"(frames, {self.skeleton.features})"

    @property
    def joint_shape(self) -> str:
        """Shape of a clip's joints, for messages."""
        return f"(frames, {len(self.skeleton.joints)}, 3)"

    def likeliest_unit(self, leg: float) -> float:
        """Metres in a unit of a file whose bodies have legs of this length from hip to ankle."""
        return min(self.units, key=lambda unit: abs(np.log(leg * unit / LEG)))


HUMANML3D_DATA = Dataset("humanml3d", "HumanML3D", HUMANML3D, 40, "m", (HUMANML3D.unit,))
"""HumanML3D (Guo et al. 2022)."""

KIT_ML = Dataset("kit_ml", "KIT-ML", KIT, 24, "mm", (KIT.unit, 0.001))
"""KIT-ML (Plappert et al. 2016) as HumanML3D's authors prepared it.

Its files are in millimetres of the Master Motor Map's model body, which is a metre tall and has legs of 490: the
skeleton's unit makes it a grown-up. Folders that others made in the millimetres of people are read as these.
"""

DATASETS: dict[str, Dataset] = {dataset.source: dataset for dataset in (HUMANML3D_DATA, KIT_ML)}
"""All of them by name."""

BY_FEATURES: dict[int, Dataset] = {dataset.skeleton.features: dataset for dataset in DATASETS.values()}
"""All of them by the number of features in a frame."""


def dataset_of_shape(shape: tuple[int, ...]) -> Dataset | None:
    """The data set that has clips of this shape, features or joints; None where none has."""
    shapes = {(dataset.skeleton.features,): dataset for dataset in DATASETS.values()}
    shapes |= {(len(dataset.skeleton.joints), 3): dataset for dataset in DATASETS.values()}
    return shapes.get(shape[1:])
