"""Mean and standard deviation of features, as HumanML3D normalises by them (Guo et al. 2022)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import HUMANML3D, Skeleton
from motiongpt3_jax.motion.arrays import UnreadableArrayError
from motiongpt3_jax.motion.interpret import LARGEST_FEATURE, as_float32, check_magnitude

CONSTANT = 1e-6
"""A deviation below this is rounding: such features are divided by 1 instead."""


class Statistics(NamedTuple):
    """Normalisation of features: (features - mean) / std.

    Attributes:
      mean: of each feature.
      std: the deviation of each feature, shared by its group; never zero.
    """

    mean: Float[np.ndarray, "features"]
    std: Float[np.ndarray, "features"]


class RunningStatistics:
    """Running mean and variance of rows that come in pieces (Chan's parallel algorithm); float64 throughout."""

    def __init__(self, features: int) -> None:
        self.count = 0
        self.mean = np.zeros(features)
        self.squares = np.zeros(features)

    def add(self, features: Float[np.ndarray, "frames features"]) -> None:
        """Update with the frames of a clip (Chan et al. 1979: no cancellation, whatever the mean)."""
        features = np.asarray(features, np.float64)
        count = self.count + len(features)
        if not len(features):
            return
        mean = features.mean(0)
        delta = mean - self.mean
        self.squares += np.square(features - mean).sum(0) + np.square(delta) * (self.count * len(features) / count)
        self.mean += delta * (len(features) / count)
        self.count = count

    def statistics(self, skeleton: Skeleton = HUMANML3D) -> Statistics:
        """Mean and standard deviation so far, with the deviations averaged in each group of features.

        Raises:
          UserError: there is no frame, or the features are not the skeleton's.
        """
        if not self.count:
            raise UserError("mean and standard deviation need at least one frame of features; none came.")
        if len(self.mean) != skeleton.features:
            raise UserError(f"there are {len(self.mean)} features; '{skeleton.name}' has {skeleton.features}.")
        std = np.sqrt(self.squares / self.count)
        for group in groups(skeleton):
            std[group] = std[group].mean()
        std[std < CONSTANT] = 1
        return Statistics(self.mean.astype(np.float32), std.astype(np.float32))


def statistics(clips: Iterable[Float[np.ndarray, "frames features"]], skeleton: Skeleton = HUMANML3D) -> Statistics:
    """Mean and grouped standard deviation of raw features, in one pass.

    Raises:
      UserError: no frame at all, or features of another skeleton.
    """
    running = RunningStatistics(skeleton.features)
    for features in clips:
        if np.ndim(features) != 2 or np.shape(features)[1] != skeleton.features:
            raise UserError(f"features have shape {np.shape(features)}; expected (frames, {skeleton.features}).")
        running.add(features)
    return running.statistics(skeleton)


def groups(skeleton: Skeleton = HUMANML3D) -> Iterator[slice]:
    """Feature groups that share a deviation.

    Yaw rate, velocity and height of the root; places, rotations, velocities of the joints; contacts.
    """
    joints, start = len(skeleton.joints), 0
    for width in (1, 2, 1, 3 * (joints - 1), 6 * (joints - 1), 3 * joints, 4):
        yield slice(start, start + width)
        start += width


def check_arrays(
    arrays: Mapping[str, np.ndarray], skeleton: Skeleton, most: float = LARGEST_FEATURE
) -> dict[str, Float[np.ndarray, "..."]]:
    """Validation of a `statistics.npz`: mean and std of the features, and offsets (bones), as float32.

    Args:
      arrays: the file's, by name; others may be among them.
      skeleton: which joints the features describe.
      most: the largest number that any of them may have, in metres.

    Raises:
      UnreadableArrayError: one is missing, is of another skeleton, or describes no body; says which.
    """
    shapes = {"mean": (skeleton.features,), "std": (skeleton.features,), "offsets": (len(skeleton.joints), 3)}
    checked = {}
    for name, shape in shapes.items():
        if name not in arrays:
            raise UnreadableArrayError(f"has no '{name}'", "")
        array = as_float32(arrays[name])
        if array.shape != shape:
            raise UnreadableArrayError(f"'{name}' has shape {array.shape}, expected {shape}", "")
        if name == "std" and array.min() <= 0:
            raise UnreadableArrayError("'std' has values that are not positive", "")
        check_magnitude(array, skeleton, most)
        checked[name] = array
    return checked
