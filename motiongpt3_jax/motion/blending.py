"""Motion blending: concatenate overlapping motions by cross-fade, each from its best-matching frame on."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.ground_pose import GroundPose, ground_poses, move_to_pose
from motiongpt3_jax.motion.seams import bone_lengths, set_bone_lengths
from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton

Joints = Float[np.ndarray, "frames joints 3"]


def blend_motions(parts: Sequence[Joints], frames: int, overlap: int, skeleton: Skeleton = HUMANML3D) -> Joints:
    """Concatenate motions with cross-fades: so many frames of parts that follow each other.

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
        part = part[_best_match(whole[-overlap:], part, min(skip, len(part) - overlap), skeleton) :]
        whole = _cross_fade(whole, part, overlap, skeleton)
    return set_bone_lengths(whole[:frames], lengths[None], skeleton)


def _best_match(end: Joints, part: Joints, most: int, skeleton: Skeleton) -> int:
    """Window with the least squared distance: the frame from which the part's poses, seen from the body, match best."""
    poses, others = _in_body_frame(end, skeleton), _in_body_frame(part, skeleton)
    costs = [np.square(others[first : first + len(end)] - poses).sum() for first in range(most + 1)]
    return int(np.argmin(costs))


def _cross_fade(whole: Joints, part: Joints, overlap: int, skeleton: Skeleton) -> Joints:
    """Cross-fade two motions with quintic smootherstep weights."""
    # The two agree where they are weighed alike, so that neither has to be carried far.
    middle = overlap // 2
    goal, start = ground_poses(whole[len(whole) - overlap + middle], skeleton), ground_poses(part[middle], skeleton)
    part = move_to_pose(part, start, goal)
    way = (np.arange(overlap) + 1) / (overlap + 1)
    weight = (way**3 * (10 - 15 * way + 6 * way**2))[:, None, None]
    mixed = (1 - weight) * whole[-overlap:] + weight * part[:overlap]
    return np.concatenate([whole[:-overlap], mixed, part[overlap:]])


def _in_body_frame(joints: Joints, skeleton: Skeleton) -> Joints:
    """Body-frame coordinates: every frame with its root above the origin, facing +z."""
    poses = ground_poses(joints, skeleton)
    origin = GroundPose(np.zeros_like(poses.place), np.zeros_like(poses.yaw))
    return move_to_pose(joints, poses, origin)
