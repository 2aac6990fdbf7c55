"""Motions one after the other made into one: they overlap, and go over into each other where they are most alike."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.placing import Stance, moved, stances
from motiongpt3_jax.motion.seams import bone_lengths, with_lengths
from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton

Joints = Float[np.ndarray, "frames joints 3"]


def blended(parts: Sequence[Joints], frames: int, overlap: int, skeleton: Skeleton = HUMANML3D) -> Joints:
    """So many frames of parts that follow each other.

    Each part is turned and carried so that it goes on where the one before is. What the parts are longer than needed
    lets each begin at the frame where its pose fits best.

    Args:
      parts: each from its own place.
      frames: how many are wanted.
      overlap: frames over which one part goes over into the next.
      skeleton: which joints these are.

    Raises:
      UserError: the parts are too short for so many frames.
    """
    spare = sum(len(part) for part in parts) - overlap * (len(parts) - 1) - frames
    if spare < 0 or min(len(part) for part in parts) < overlap:
        raise UserError(f"parts of {[len(part) for part in parts]} frames do not make {frames}")
    whole = np.asarray(parts[0], np.float64)
    lengths = bone_lengths(whole, skeleton).mean(axis=0)
    skip = spare // max(len(parts) - 1, 1)
    for part in parts[1:]:
        part = np.asarray(part, np.float64)
        part = part[_best(whole[-overlap:], part, min(skip, len(part) - overlap), skeleton) :]
        whole = _crossed(whole, part, overlap, skeleton)
    return with_lengths(whole[:frames], lengths[None], skeleton)


def _best(end: Joints, part: Joints, most: int, skeleton: Skeleton) -> int:
    """The frame from which the part's poses are most like those of the end, as seen from the body."""
    poses, others = _seen_from_body(end, skeleton), _seen_from_body(part, skeleton)
    costs = [np.square(others[first : first + len(end)] - poses).sum() for first in range(most + 1)]
    return int(np.argmin(costs))


def _crossed(whole: Joints, part: Joints, overlap: int, skeleton: Skeleton) -> Joints:
    # The two agree where they are weighed alike, so that neither has to be carried far.
    middle = overlap // 2
    goal, start = stances(whole[len(whole) - overlap + middle], skeleton), stances(part[middle], skeleton)
    part = moved(part, start, goal)
    way = (np.arange(overlap) + 1) / (overlap + 1)
    weight = (way**3 * (10 - 15 * way + 6 * way**2))[:, None, None]
    mixed = (1 - weight) * whole[-overlap:] + weight * part[:overlap]
    return np.concatenate([whole[:-overlap], mixed, part[overlap:]])


def _seen_from_body(joints: Joints, skeleton: Skeleton) -> Joints:
    own = stances(joints, skeleton)
    return moved(joints, own, Stance(np.zeros_like(own.place), np.zeros_like(own.yaw)))
