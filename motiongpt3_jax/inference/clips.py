"""Feature extraction from motions: clips at the model's frame rate, in its own skeleton's proportions."""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.engine import Features
from motiongpt3_jax.inference.folder import MotionStatistics
from motiongpt3_jax.motion import Motion, canonicalise, joints_to_features
from motiongpt3_jax.motion.convert_skeleton import convert_skeleton
from motiongpt3_jax.motion.resample import require_frames, resample_motion


class Part(NamedTuple):
    """A part of a motion's first person that is read at once.

    Attributes:
      start, stop: when, in seconds.
      features: raw.
    """

    start: float
    stop: float
    features: Features


def require_skeleton(motion: Motion, statistics: MotionStatistics, what: str = "the motion") -> None:
    """Raises UserError when a motion has another skeleton than the model."""
    if motion.skeleton.name != statistics.skeleton.name:
        raise UserError(f"{what} has the {motion.skeleton.name} skeleton; this model's is {statistics.skeleton.name}")


def require_readable(motion: Motion, statistics: MotionStatistics, what: str = "the motion") -> None:
    """Raises UserError when a motion has another skeleton than the model, or too few frames at its frame rate."""
    require_skeleton(motion, statistics, what)
    require_frames(motion, statistics.fps, what=what)


def convert_to_model(motion: Motion, statistics: MotionStatistics) -> tuple[Motion, tuple[str, ...]]:
    """Retarget a motion to the joints of the model's skeleton, with a sentence on it where these are others.

    Raises:
      UserError: nobody knows how the joints correspond.
    """
    converted = convert_skeleton(motion, statistics.skeleton)
    if converted is motion:
        return motion, ()
    skeletons = (motion.skeleton, statistics.skeleton)
    joints, other = (f"{len(skeleton.joints)} joints of {skeleton.name}" for skeleton in skeletons)
    return converted, (f"its {joints} become the {other}, which are this model's",)


def name_motion(motion: Motion | str | Path, otherwise: str) -> str:
    """Name of a motion in messages: its file, where it is given as one."""
    return otherwise if isinstance(motion, Motion) else f"motion '{motion}'"


def features_of(joints: Float[np.ndarray, "frames joints 3"], statistics: MotionStatistics) -> Features:
    """Raw features of joints at the model's frame rate, by the bones of the model's statistics; one frame fewer."""
    return joints_to_features(
        canonicalise(np.asarray(joints, np.float64), statistics.skeleton, statistics.offsets), statistics.skeleton
    )


def parts_of(motion: Motion, statistics: MotionStatistics, longest: int, what: str = "the motion") -> list[Part]:
    """The first person's motion, `what` in errors, in as few parts of `longest` frames as can be, all about as long.

    Raises:
      UserError: it has another skeleton, or a single frame.
    """
    require_readable(motion, statistics, what)
    joints = resample_motion(motion, statistics.fps).joints[0]
    count = -(-(len(joints) - 1) // longest)
    cuts = np.linspace(0, len(joints) - 1, count + 1).round().astype(int).tolist()
    return [
        Part(start / statistics.fps, stop / statistics.fps, features_of(joints[start : stop + 1], statistics))
        for start, stop in pairwise(cuts)
    ]
