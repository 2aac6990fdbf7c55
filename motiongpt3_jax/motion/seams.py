"""Motion stitching: proposed frames bend smoothly to the fixed frames before and after them."""

from collections.abc import Collection
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import solveh_banded

from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton

Joints = Float[np.ndarray, "frames joints 3"]

SMALLEST_LIMIT = 0.02
"""Acceleration that a seam may always have, metres per frame squared, at `RATE` frames in a second or fewer."""

RATE = 20.0
"""Frames in a second up to which `SMALLEST_LIMIT` holds; at more, frames are closer."""

REACH = 1.0
"""Seconds over which a seam's correction fades."""

FADE = 0.5
"""Seconds from a seam over which bones return to their usual length."""

SEAM_FRAMES = (3, 2)
"""Frames at a seam that alternating projections move, the first number that keeps to `MOST_STRETCH`, else the last."""

MOST_STRETCH = 0.01
"""Metres by which these projections may leave a bone off its length, while fewer frames are left to try."""

ROUNDS = 200
"""Most rounds of alternating projections."""

MARGIN = 0.98
"""Share of the acceleration limit that projections aim at."""


class Correction(NamedTuple):
    """Size of a correction: how far the proposed frames moved, metres.

    Attributes:
      mean: over frames and joints.
      largest: of any joint in any frame.
      stretch: by which a bone misses its length at most: where a limb whirls at a seam, it gives way for a moment.
      acceleration: largest of a joint at a seam now, metres per frame squared.
      limit: what it may be, see `acceleration_limit`.
    """

    mean: float
    largest: float
    stretch: float
    acceleration: float
    limit: float


def acceleration_limit(*parts: Joints, fps: float) -> float:
    """Acceleration that seams with these frames may have, metres per frame squared.

    Three times the median over those frames, of the calmest part where there are several, but not below 2 cm at 20
    frames a second, which are less at more.
    """
    usual = [float(np.median(_norms(np.diff(part, 2, axis=0)))) for part in parts if len(part) > 2]
    return max(3 * min(usual, default=0.0), SMALLEST_LIMIT * min(RATE / fps, 1) ** 2)


def join(
    before: Joints,
    proposed: Joints,
    after: Joints | None,
    fps: float,
    limit: float,
    skeleton: Skeleton = HUMANML3D,
) -> tuple[Joints, Correction]:
    """Stitch motions: the proposed frames, bent so that they go on from `before` and lead to `after`.

    The correction is the smoothest one, by regularised least squares: it adds the least acceleration, and fades away
    from the seams. Bones keep the lengths that the fixed frames have. Acceleration at a seam stays within its limit,
    unless there are fewer than four frames between two sides that lie too far apart for that.

    Args:
      before: fixed frames, at least two.
      proposed: the frames between, already in their place.
      after: fixed frames behind them, at least two, if there are any.
      fps: frames in a second.
      limit: acceleration that a seam may have, metres per frame squared; see `acceleration_limit`.
      skeleton: which joints these are.

    Returns:
      The frames between, and how far they moved.
    """
    lengths = _lengths_between(before, len(proposed), after, fps, skeleton)
    between = set_bone_lengths(_bend(before, proposed, after, fps, limit), lengths, skeleton)
    if seam_acceleration(before, between, after) > limit:
        for frames in SEAM_FRAMES:
            ends = _project_ends(before, between, after, frames, lengths, MARGIN * limit, skeleton)
            within = seam_acceleration(before, ends, after) <= limit
            if within and _stretch(ends, lengths, skeleton) <= MOST_STRETCH:
                break
        between = _bend_to_ends(ends, after is not None, frames, lengths, fps, limit, skeleton)
    distance = _norms(between - proposed)
    acceleration = seam_acceleration(before, between, after)
    stretch = _stretch(between, lengths, skeleton)
    return between, Correction(float(distance.mean()), float(distance.max()), stretch, acceleration, limit)


def seam_acceleration(before: Joints, between: Joints, after: Joints | None) -> float:
    """Largest acceleration of a joint over the frames on both sides of a seam, metres per frame squared."""
    seams = [np.concatenate([before[-2:], between[:2]])]
    if after is not None:
        seams.append(np.concatenate([between[-2:], after[:2]]))
    return max(float(_norms(np.diff(seam, 2, axis=0)).max()) for seam in seams)


def _bend(before: Joints, proposed: Joints, after: Joints | None, fps: float, limit: float) -> Joints:
    """Banded least squares: the frames x that minimise sum |x'' - wanted|^2 + (3 / reach)^4 * 4 * sum |x - proposed|^2.

    What is wanted are the accelerations proposed, at the seams none above the limit.
    """
    count = len(proposed)
    whole = _whole(before, proposed, after).reshape(-1, proposed[0].size)
    wanted = np.diff(whole, 2, axis=0)
    for side in [slice(0, 2)] + ([slice(-2, None)] if after is not None else []):
        wanted[side] = _clip_norms(wanted[side], limit)
    pull = 4 * (3 / (REACH * fps)) ** 4
    bands, right = np.zeros((3, count)), pull * whole[2 : 2 + count]
    bands[2] = pull
    stencil = (1.0, -2.0, 1.0)
    for centre, goal in enumerate(wanted):
        places = range(centre - 2, centre + 1)
        known = np.zeros(whole.shape[1])
        for p, c in zip(places, stencil):
            if not 0 <= p < count:
                known = known + c * whole[p + 2]
        for p, c in zip(places, stencil):
            if 0 <= p < count:
                right[p] += c * (goal - known)
                for q, d in zip(places, stencil):
                    if p <= q < count:
                        bands[2 - (q - p), q] += c * d
    return solveh_banded(bands[-min(3, count) :], right).reshape(proposed.shape)


def _project_ends(
    before: Joints,
    between: Joints,
    after: Joints | None,
    frames: int,
    lengths: Float[np.ndarray, "frames joints"],
    limit: float,
    skeleton: Skeleton,
) -> Joints:
    """Alternating projections of the frames at each seam, onto bone lengths and onto the acceleration limit.

    Bones at their length disturb the seam, and a calm seam the bones: in turns both converge, or the seam at least.
    """
    count, whole = len(between), _whole(before, between, after)
    free = set(range(2, 2 + min(frames, count)))
    seams = set(range(frames))
    if after is not None:
        free |= set(range(2 + max(count - frames, 0), 2 + count))
        seams |= set(range(2 + count - frames, 2 + count))
    seams &= set(range(len(whole) - 2))
    places = sorted(free)
    for _ in range(ROUNDS):
        whole[places] = _project_lengths(whole[places], lengths[np.array(places) - 2], skeleton)
        if not _project_accelerations(whole, seams, free, limit):
            break
    for _ in range(ROUNDS):
        if not _project_accelerations(whole, seams, free, limit):
            break
    return whole[2 : 2 + count]


def _project_accelerations(whole: Joints, seams: Collection[int], free: Collection[int], limit: float) -> bool:
    """Project free frames onto one acceleration limit after the other, in place; whether any was exceeded."""
    exceeded = False
    for seam in sorted(seams):
        acceleration = whole[seam] - 2 * whole[seam + 1] + whole[seam + 2]
        excess = acceleration - _clip_norms(acceleration, limit)
        if np.abs(excess).max() > 1e-5 * limit:
            exceeded = True
            places = [(seam + step, c) for step, c in enumerate((1.0, -2.0, 1.0)) if seam + step in free]
            total = sum(c**2 for _, c in places)
            for place, c in places:
                whole[place] -= c / total * excess
    return exceeded


def _bend_to_ends(
    ends: Joints,
    both: bool,
    frames: int,
    lengths: Float[np.ndarray, "frames joints"],
    fps: float,
    limit: float,
    skeleton: Skeleton,
) -> Joints:
    """The same frames, with those between the projected ends bent to them."""
    inner = slice(frames, len(ends) - frames if both else None)
    if not len(ends[inner]):
        return ends
    first, last = ends[:frames], ends[-frames:] if both else None
    between = _bend(first, ends[inner], last, fps, limit)
    error = bone_lengths(ends, skeleton) - lengths
    ways = np.arange(1, len(between) + 1)
    target_lengths = lengths[inner] + _fade(ways, fps)[:, None] * error[frames - 1]
    if both:
        target_lengths += _fade(ways[::-1], fps)[:, None] * error[-frames]
    between = set_bone_lengths(between, target_lengths, skeleton)
    return np.concatenate([first, between] if last is None else [first, between, last])


def _whole(before: Joints, between: Joints, after: Joints | None) -> Joints:
    """The frames between, with the two fixed ones on each side."""
    return np.concatenate([before[-2:], between, *([] if after is None else [after[:2]])])


def _lengths_between(
    before: Joints, count: int, after: Joints | None, fps: float, skeleton: Skeleton
) -> Float[np.ndarray, "frames joints"]:
    """Bone lengths over time: those at a seam there, the fixed frames' usual ones half a second away."""
    usual = np.median(bone_lengths(before if after is None else np.concatenate([before, after]), skeleton), axis=0)
    frames = np.arange(1, count + 1)
    lengths = usual + _fade(frames, fps)[:, None] * (bone_lengths(before[-1:], skeleton) - usual)
    if after is not None:
        lengths = lengths + _fade(frames[::-1], fps)[:, None] * (bone_lengths(after[:1], skeleton) - usual)
    return lengths


def set_bone_lengths(
    joints: Joints, lengths: Float[np.ndarray, "#frames joints"], skeleton: Skeleton = HUMANML3D
) -> Joints:
    """Set bone lengths, with the same root and directions of bones; the root's length is not used."""
    result = joints.copy()
    for chain in skeleton.chains:
        for parent, child in pairwise(chain):
            bone = joints[:, child] - joints[:, parent]
            length = np.maximum(_norms(bone), 1e-9)[:, None]
            result[:, child] = result[:, parent] + bone / length * lengths[:, child, None]
    return result


def _project_lengths(joints: Joints, lengths: Float[np.ndarray, "frames joints"], skeleton: Skeleton) -> Joints:
    """Position-based dynamics: one Gauss-Seidel sweep of distance constraints over the bones (Müller et al. 2007).

    Both ends of a bone give way, so that a bent limb can stretch out.
    """
    result = joints.copy()
    for chain in skeleton.chains:
        for parent, child in pairwise(chain):
            bone = result[:, child] - result[:, parent]
            length = np.maximum(_norms(bone), 1e-9)[:, None]
            step = 0.5 * (1 - lengths[:, child, None] / length) * bone
            result[:, parent] += step
            result[:, child] -= step
    return result


def bone_lengths(joints: Joints, skeleton: Skeleton = HUMANML3D) -> Float[np.ndarray, "frames joints"]:
    """Lengths of the bones that end in each joint, metres; zero for the root."""
    parents = [max(parent, 0) for parent in skeleton.parents]
    return _norms(joints - joints[:, parents])


def _stretch(joints: Joints, lengths: Float[np.ndarray, "frames joints"], skeleton: Skeleton) -> float:
    """By how much a bone misses its length at most, metres."""
    return float(np.abs(bone_lengths(joints, skeleton) - lengths)[:, 1:].max())


def _fade(frames: Float[np.ndarray, "frames"], fps: float) -> Float[np.ndarray, "frames"]:
    """Quintic smootherstep from 1 at a seam to 0 half a second away."""
    way = np.clip(frames / (FADE * fps), 0, 1)
    return 1 - way**3 * (10 - 15 * way + 6 * way**2)


def _norms(vectors: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch"]:
    return np.linalg.norm(vectors, axis=-1)


def _clip_norms(vectors: Float[np.ndarray, "*batch n"], limit: float) -> Float[np.ndarray, "*batch n"]:
    """Clip the norms of vectors, which stand one after the other in a row, to `limit`."""
    parts = vectors.reshape(*vectors.shape[:-1], -1, 3)
    lengths = np.maximum(_norms(parts), 1e-12)[..., None]
    return (parts * np.minimum(1, limit / lengths)).reshape(vectors.shape)
