"""Given frames and proposed ones made into one motion: the given frames stay, the others bend to them."""

from collections.abc import Collection
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import solveh_banded

from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton

Joints = Float[np.ndarray, "frames joints 3"]

SMALLEST_LIMIT, RATE = 0.02, 20.0
"""Acceleration that a seam may always have, metres per frame squared, at so many frames in a second or fewer."""

REACH, FADE = 1.0, 0.5
"""Seconds over which a seam's correction fades, and over which bones get back the length that they have there."""

LANDINGS, MOST_STRETCH = (3, 2), 0.01
"""Frames that are placed anew at a seam: so many, unless that would stretch a bone by more metres; fewest last."""

ROUNDS, MARGIN = 200, 0.98
"""How often bones and accelerations of these frames are set right in turns, and the share of the limit aimed at."""


class Correction(NamedTuple):
    """How far the proposed frames moved, metres.

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


def acceleration_limit(*given: Joints, fps: float) -> float:
    """Acceleration that seams with these frames may have, metres per frame squared.

    Three times the median over those frames, of the calmest part where there are several, but not below 2 cm at 20
    frames a second, which are less at more.
    """
    usual = [float(np.median(_norms(np.diff(part, 2, axis=0)))) for part in given if len(part) > 2]
    return max(3 * min(usual, default=0.0), SMALLEST_LIMIT * min(RATE / fps, 1) ** 2)


def join(
    before: Joints,
    proposed: Joints,
    after: Joints | None,
    fps: float,
    limit: float,
    skeleton: Skeleton = HUMANML3D,
) -> tuple[Joints, Correction]:
    """The proposed frames, bent so that they go on from `before` and lead to `after`.

    The correction is the smoothest one: it adds the least acceleration, and fades away from the seams. Bones keep the
    lengths that the given frames have; the acceleration at a seam stays within its limit, unless there are fewer than
    four frames between two sides that lie too far apart for that.

    Args:
      before: given frames, at least two.
      proposed: the frames between, already in their place.
      after: given frames behind them, at least two, if there are any.
      fps: frames in a second.
      limit: acceleration that a seam may have, metres per frame squared; see `acceleration_limit`.
      skeleton: which joints these are.

    Returns:
      The frames between, and how far they moved.
    """
    lengths = _lengths_between(before, len(proposed), after, fps, skeleton)
    bent = with_lengths(_bent(before, proposed, after, fps, limit), lengths, skeleton)
    if seam_acceleration(before, bent, after) > limit:
        for frames in LANDINGS:
            landed = _landed(before, bent, after, frames, lengths, MARGIN * limit, skeleton)
            within = seam_acceleration(before, landed, after) <= limit
            if within and _stretch(landed, lengths, skeleton) <= MOST_STRETCH:
                break
        bent = _between_landings(landed, after is not None, frames, lengths, fps, limit, skeleton)
    distance = _norms(bent - proposed)
    calm = seam_acceleration(before, bent, after)
    stretch = _stretch(bent, lengths, skeleton)
    return bent, Correction(float(distance.mean()), float(distance.max()), stretch, calm, limit)


def seam_acceleration(before: Joints, between: Joints, after: Joints | None) -> float:
    """Largest acceleration of a joint over given and made frames at once, metres per frame squared."""
    seams = [np.concatenate([before[-2:], between[:2]])]
    if after is not None:
        seams.append(np.concatenate([between[-2:], after[:2]]))
    return max(float(_norms(np.diff(seam, 2, axis=0)).max()) for seam in seams)


def _bent(before: Joints, proposed: Joints, after: Joints | None, fps: float, limit: float) -> Joints:
    """Solves for the frames x that minimise sum |x'' - wanted|^2 + (3 / reach)^4 * 4 * sum |x - proposed|^2.

    What is wanted are the accelerations proposed, at the seams none above the limit.
    """
    count = len(proposed)
    whole = _whole(before, proposed, after).reshape(-1, proposed[0].size)
    wanted = np.diff(whole, 2, axis=0)
    for side in [slice(0, 2)] + ([slice(-2, None)] if after is not None else []):
        wanted[side] = _shortened(wanted[side], limit)
    pull = 4 * (3 / (REACH * fps)) ** 4
    bands, right = np.zeros((3, count)), pull * whole[2 : 2 + count]
    bands[2] = pull
    stencil = (1.0, -2.0, 1.0)
    for centre, goal in enumerate(wanted):
        places = range(centre - 2, centre + 1)
        known = sum((c * whole[p + 2] for p, c in zip(places, stencil) if not 0 <= p < count), np.zeros(whole.shape[1]))
        for p, c in zip(places, stencil):
            if 0 <= p < count:
                right[p] += c * (goal - known)
                for q, d in zip(places, stencil):
                    if p <= q < count:
                        bands[2 - (q - p), q] += c * d
    return solveh_banded(bands[-min(3, count) :], right).reshape(proposed.shape)


def _landed(
    before: Joints,
    bent: Joints,
    after: Joints | None,
    frames: int,
    lengths: Float[np.ndarray, "frames joints"],
    limit: float,
    skeleton: Skeleton,
) -> Joints:
    """The same, with so many frames at each seam placed anew, within the limit, bones nearly at their lengths.

    Bones at their length disturb the seam, and a calm seam the bones: in turns both come right, or the seam at least.
    """
    count, whole = len(bent), _whole(before, bent, after)
    free = set(range(2, 2 + min(frames, count)))
    seams = set(range(frames))
    if after is not None:
        free |= set(range(2 + max(count - frames, 0), 2 + count))
        seams |= set(range(2 + count - frames, 2 + count))
    seams &= set(range(len(whole) - 2))
    places = sorted(free)
    for _ in range(ROUNDS):
        whole[places] = _relaxed(whole[places], lengths[np.array(places) - 2], skeleton)
        if not _calmed(whole, seams, free, limit):
            break
    for _ in range(ROUNDS):
        if not _calmed(whole, seams, free, limit):
            break
    return whole[2 : 2 + count]


def _calmed(whole: Joints, seams: Collection[int], free: Collection[int], limit: float) -> bool:
    """Moves free frames so that one acceleration after the other is within the limit; whether any was not."""
    moved = False
    for seam in sorted(seams):
        acceleration = whole[seam] - 2 * whole[seam + 1] + whole[seam + 2]
        excess = acceleration - _shortened(acceleration, limit)
        if np.abs(excess).max() > 1e-5 * limit:
            moved = True
            shares = {seam + step: share for step, share in enumerate((1.0, -2.0, 1.0)) if seam + step in free}
            for place, share in shares.items():
                whole[place] -= share / sum(other**2 for other in shares.values()) * excess
    return moved


def _between_landings(
    landed: Joints,
    both: bool,
    frames: int,
    lengths: Float[np.ndarray, "frames joints"],
    fps: float,
    limit: float,
    skeleton: Skeleton,
) -> Joints:
    """The same, with the frames that were not placed anew bent to those that were."""
    inner = slice(frames, len(landed) - frames if both else None)
    if not len(landed[inner]):
        return landed
    first, last = landed[:frames], landed[-frames:] if both else None
    between = _bent(first, landed[inner], last, fps, limit)
    off = bone_lengths(landed, skeleton) - lengths
    ways = np.arange(1, len(between) + 1)
    wanted = lengths[inner] + _fading(ways, fps)[:, None] * off[frames - 1]
    if both:
        wanted += _fading(ways[::-1], fps)[:, None] * off[-frames]
    return np.concatenate(
        [first, with_lengths(between, wanted, skeleton), landed[len(landed) - frames :][: frames * both]]
    )


def _whole(before: Joints, between: Joints, after: Joints | None) -> Joints:
    """The frames between, with the two given ones on each side."""
    return np.concatenate([before[-2:], between, *([] if after is None else [after[:2]])])


def _lengths_between(
    before: Joints, count: int, after: Joints | None, fps: float, skeleton: Skeleton
) -> Float[np.ndarray, "frames joints"]:
    """Lengths of the bones: those at a seam there, the given frames' usual ones half a second away."""
    usual = np.median(bone_lengths(before if after is None else np.concatenate([before, after]), skeleton), axis=0)
    frames = np.arange(1, count + 1)
    lengths = usual + _fading(frames, fps)[:, None] * (bone_lengths(before[-1:], skeleton) - usual)
    if after is not None:
        lengths = lengths + _fading(frames[::-1], fps)[:, None] * (bone_lengths(after[:1], skeleton) - usual)
    return lengths


def with_lengths(
    joints: Joints, lengths: Float[np.ndarray, "#frames joints"], skeleton: Skeleton = HUMANML3D
) -> Joints:
    """The same root and directions of bones, with bones of these lengths; the root's is not used."""
    placed = joints.copy()
    for chain in skeleton.chains:
        for parent, child in pairwise(chain):
            bone = joints[:, child] - joints[:, parent]
            length = np.maximum(_norms(bone), 1e-9)[:, None]
            placed[:, child] = placed[:, parent] + bone / length * lengths[:, child, None]
    return placed


def _relaxed(joints: Joints, lengths: Float[np.ndarray, "frames joints"], skeleton: Skeleton) -> Joints:
    """Bones nearer to their lengths: both ends of each one give way, so that a bent limb can stretch out."""
    placed = joints.copy()
    for chain in skeleton.chains:
        for parent, child in pairwise(chain):
            bone = placed[:, child] - placed[:, parent]
            length = np.maximum(_norms(bone), 1e-9)[:, None]
            step = 0.5 * (1 - lengths[:, child, None] / length) * bone
            placed[:, parent] += step
            placed[:, child] -= step
    return placed


def bone_lengths(joints: Joints, skeleton: Skeleton = HUMANML3D) -> Float[np.ndarray, "frames joints"]:
    """Lengths of the bones that end in each joint, metres; zero for the root."""
    parents = [max(parent, 0) for parent in skeleton.parents]
    return _norms(joints - joints[:, parents])


def _stretch(joints: Joints, lengths: Float[np.ndarray, "frames joints"], skeleton: Skeleton) -> float:
    """By how much a bone misses its length at most, metres."""
    return float(np.abs(bone_lengths(joints, skeleton) - lengths)[:, 1:].max())


def _fading(frames: Float[np.ndarray, "frames"], fps: float) -> Float[np.ndarray, "frames"]:
    """1 at a seam, 0 half a second away, level at both ends."""
    way = np.clip(frames / (FADE * fps), 0, 1)
    return 1 - way**3 * (10 - 15 * way + 6 * way**2)


def _norms(vectors: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch"]:
    return np.linalg.norm(vectors, axis=-1)


def _shortened(vectors: Float[np.ndarray, "*batch n"], limit: float) -> Float[np.ndarray, "*batch n"]:
    """Vectors, one after the other in a row, none longer than `limit`."""
    parts = vectors.reshape(*vectors.shape[:-1], -1, 3)
    lengths = np.maximum(_norms(parts), 1e-12)[..., None]
    return (parts * np.minimum(1, limit / lengths)).reshape(vectors.shape)
