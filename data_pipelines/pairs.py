"""Clips of two people from their joints: features of each alone, and their relative pose once a second."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.data_pipelines.clip import PLACE, Clip
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import HUMANML3D, Motion, Skeleton, canonicalise_pair, features_to_joints
from motiongpt3_jax.motion.features import canonical_to_features
from motiongpt3_jax.motion.kinematics import Offsets
from motiongpt3_jax.motion.pairs import pair_features_to_joints, places_over_time

DIGITS = 4
"""Decimals of a place: a tenth of a millimetre."""


def pair_clip(
    id: str,
    joints: Float[np.ndarray, "2 frames joints 3"],
    captions: Sequence[str],
    labels: Mapping[str, Any] | None = None,
    skeleton: Skeleton = HUMANML3D,
    offsets: Offsets | None = None,
) -> Clip:
    """A clip of two people: each canonicalised alone, the second one's place in the frame of the first kept.

    Args:
      id: the clip's.
      joints: both in one world, metres, at the skeleton's fps.
      captions: sentences about them.
      labels: what a measurement can check.
      skeleton: which joints these are.
      offsets: bones of the target body, see `Skeleton.offsets`; without them both keep their proportions.
    """
    canonical, place, _ = canonicalise_pair(joints, skeleton, offsets)
    first, second = (canonical_to_features(person, skeleton) for person in canonical)
    places = places_over_time(first, second, place, round(skeleton.fps), skeleton)
    numbers = {PLACE: tuple(np.round(places, DIGITS).ravel().tolist())}
    return Clip(id, first, tuple(captions), dict(labels or {}), (second,), numbers)


def clip_motion(clip: Clip, skeleton: Skeleton = HUMANML3D) -> Motion:
    """The motion of a clip: of two people with a place both in one world, of others the first alone.

    Raises:
      UserError: the place is no triple of numbers.
    """
    if len(clip.persons) == 2 and PLACE in clip.numbers:
        place = clip.numbers[PLACE]
        if len(place) < 3 or not np.isfinite(place).all():
            raise UserError(f"clip '{clip.id}' has the place {place}; expected (yaw, x, z) of the second person.")
        return Motion(pair_features_to_joints(*clip.persons, place[:3], skeleton), skeleton.fps, skeleton)
    return Motion(features_to_joints(clip.features, skeleton)[None], skeleton.fps, skeleton)
