"""Given frames and proposed ones made into one motion: the given frames stay, the others bend to them."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import solveh_banded

from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton

Joints = Float[np.ndarray, "frames joints 3"]

SMALLEST_LIMIT = 0.02
"""Acceleration that a seam may always have, metres per frame squared."""

REACH = 1.0
"""Seconds over which a seam's correction fades."""

MOST_STRETCH = 0.1
"""Metres by which bones may be off for a seam's sake. A limb that whirls needs more acceleration than the limit."""

ROUNDS, SETTLING = 120, 3.0
"""How often seam and bones are set right in turns, and over how many frames a seam is then smoothed."""

STIFF, SOFT = 1e4, 3
"""Weight of the accelerations at a seam against those elsewhere, and frames over which it falls off."""


class Correction(NamedTuple):
    """How far the proposed frames moved, metres.

    Attributes:
      mean: over frames and joints.
      largest: of any joint in any frame.
      acceleration: largest of a joint at a seam now, metres per frame squared.
      limit: what it should not exceed, see `acceleration_limit`; a limb that whirls at the seam may have to.
    """

    mean: float
    largest: float
    acceleration: float
    limit: float


def acceleration_limit(given: Joints) -> float:
    """Acceleration that a seam with these frames may have: three times their median, but not below 2 cm/frame^2."""
    if len(given) < 3:
        return SMALLEST_LIMIT
    return max(3 * float(np.median(_norms(np.diff(given, 2, axis=0)))), SMALLEST_LIMIT)


def join(
    before: Joints,
    proposed: Joints,
    after: Joints | None,
    fps: float,
    skeleton: Skeleton = HUMANML3D,
) -> tuple[Joints, Correction]:
    """The proposed frames, bent so that they go on from `before` and lead to `after`.

    The correction is the smoothest one: it adds the least acceleration, and fades away from the seams. Bones keep the
    lengths that the given frames have.

    Args:
      before: given frames, at least two.
      proposed: the frames between, already in their place.
      after: given frames behind them, at least two, if there are any.
      fps: frames in a second.
      skeleton: which joints these are.

    Returns:
      The frames between, and how far they moved.
    """
    limit = min(acceleration_limit(part) for part in (before, after) if part is not None)
    lengths = _lengths_between(before, len(proposed), after, fps, skeleton)
    bent = with_lengths(_bent(before, proposed, after, REACH * fps, limit), lengths, skeleton)
    settled = bent
    for _ in range(ROUNDS):
        if seam_acceleration(before, bent, after) <= limit:
            break
        # Bones at their length disturb the seam, and a calm seam the bones: in turns both come right.
        settled = _bent(before, _relaxed(settled, lengths, skeleton), after, SETTLING, limit)
        bent = with_lengths(settled, lengths, skeleton)
    else:
        if np.abs(bone_lengths(settled, skeleton) - lengths)[:, 1:].max() <= MOST_STRETCH:
            bent = settled
    distance = _norms(bent - proposed)
    calm = seam_acceleration(before, bent, after)
    return bent, Correction(float(distance.mean()), float(distance.max()), calm, limit)


def seam_acceleration(before: Joints, between: Joints, after: Joints | None) -> float:
    """Largest acceleration of a joint where given and made frames meet, metres per frame squared."""
    seams = [np.concatenate([before[-2:], between[:3]])]
    if after is not None:
        seams.append(np.concatenate([between[-3:], after[:2]]))
    return max(float(_norms(np.diff(seam, 2, axis=0)).max()) for seam in seams)


def _bent(before: Joints, proposed: Joints, after: Joints | None, reach: float, limit: float) -> Joints:
    """Solves for the frames x that minimise sum w |x'' - wanted|^2 + (3 / reach)^4 * 4 * sum |x - proposed|^2.

    What is wanted are the accelerations proposed; at the seams none above the limit, right behind them not far above.
    """
    calm = 0.9 * limit
    count = len(proposed)
    ahead = np.zeros((0, *proposed.shape[1:])) if after is None else after[:2]
    whole = np.concatenate([before[-2:], proposed, ahead]).reshape(count + 2 + len(ahead), -1)
    wanted = np.diff(whole, 2, axis=0)
    weights = np.ones(len(wanted))
    sides = [slice(0, 2)] + ([slice(len(wanted) - 2, None)] if len(ahead) else [])
    for side in sides:
        wanted[side], weights[side] = _shortened(wanted[side], calm), STIFF
    for step in range(SOFT):
        for near in [2 + step] + ([len(wanted) - 3 - step] if len(ahead) else []):
            if 0 <= near < len(wanted) and weights[near] == 1:
                wanted[near] = _shortened(wanted[near], calm * (1 + step))
                weights[near] = STIFF ** (1 - step / SOFT)
    pull = 4 * (3 / reach) ** 4
    bands, right = np.zeros((3, count)), pull * whole[2 : 2 + count]
    bands[2] = pull
    stencil = (1.0, -2.0, 1.0)
    for centre, (weight, goal) in enumerate(zip(weights, wanted)):
        places = range(centre - 2, centre + 1)
        known = sum((c * whole[p + 2] for p, c in zip(places, stencil) if not 0 <= p < count), np.zeros(whole.shape[1]))
        for p, c in zip(places, stencil):
            if 0 <= p < count:
                right[p] += weight * c * (goal - known)
                for q, d in zip(places, stencil):
                    if p <= q < count:
                        bands[2 - (q - p), q] += weight * c * d
    return solveh_banded(bands[-min(3, count) :], right).reshape(proposed.shape)


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


def _fading(frames: Float[np.ndarray, "frames"], fps: float) -> Float[np.ndarray, "frames"]:
    """1 at a seam, 0 half a second away, level at both ends."""
    way = np.clip(frames / (0.5 * fps), 0, 1)
    return 1 - way**3 * (10 - 15 * way + 6 * way**2)


def _norms(vectors: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch"]:
    return np.linalg.norm(vectors, axis=-1)


def _shortened(vectors: Float[np.ndarray, "*batch n"], limit: float) -> Float[np.ndarray, "*batch n"]:
    """Vectors, one after the other in a row, none longer than `limit`."""
    parts = vectors.reshape(*vectors.shape[:-1], -1, 3)
    lengths = np.maximum(_norms(parts), 1e-12)[..., None]
    return (parts * np.minimum(1, limit / lengths)).reshape(vectors.shape)
