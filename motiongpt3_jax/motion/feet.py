"""Foot skating: measured, and removed by foot locking and two-bone inverse kinematics.

A foot touches the ground while its toe is low and slow. For that time the toe is held at one point, and the heel too
while it is down; the ankle follows, and the knee bends as far as it must and the way it did. Bones keep their
lengths, all other joints their places.
"""

from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.oddities import FASTEST_ROOT
from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton

Points = Float[np.ndarray, "frames 3"]
Lengths = Float[np.ndarray, "frames 1"]

_HEIGHTS = (0.04, 0.06)
"""Hysteresis thresholds: metres above its rest below which a foot's joint comes to the ground, and stays."""

_SPEEDS = (0.4, 0.6)
"""Hysteresis thresholds: metres a second along the floor below which it does."""

_SHARES = (0.4, 0.6)
"""Hysteresis thresholds: shares of the body's speed below which it does too: standing feet are slower than it."""

_FASTEST = 1.0
"""Metres a second above which no foot stands, however fast the body is."""

_LOW = 0.03
"""Metres above their rest below which heel and toe are on the ground when sliding is measured."""

_RAMP = 0.1
"""Seconds in which a heel that comes down is brought to rest."""

_BLEND = 0.2
"""Seconds over which a foot leaves its own way before a contact, and finds it again afterwards."""

_FARTHEST = 0.15
"""Metres that a foot may slide to both sides of where it is held; one that slides farther is meant to."""

_TURN = 0.06
"""Metres that the heel may come from where it is held relative to the toe; a foot that turns farther is meant to."""


def skating(
    joints: Float[np.ndarray, "frames joints 3"],
    skeleton: Skeleton = HUMANML3D,
    fps: float | None = None,
    original: Float[np.ndarray, "frames joints 3"] | None = None,
) -> float:
    """Foot skating: how fast feet slide while they are on the floor, in metres a second; 0 if they never are.

    Steps in which the body goes farther than anybody can are no sliding, and do not count.

    Args:
      joints: the motion.
      skeleton: which joints these are.
      fps: frames in a second; by default the skeleton's.
      original: the motion whose heights say when a foot is on the floor, by default this one. A cleaned motion is
        compared with the one that it came from by the frames of the latter.
    """
    fps = fps or skeleton.fps
    joints, original = np.asarray(joints, np.float64), np.asarray(joints if original is None else original, np.float64)
    steps = []
    possible = np.linalg.norm(np.diff(original[:, 0], axis=0), axis=-1) <= FASTEST_ROOT / fps
    for heel, toe in skeleton.feet:
        rest = _rest(original, heel, toe)
        down = np.all(original[:, [heel, toe], 1] < np.array(rest) + _LOW, axis=-1)
        # A foot that has just come or is about to go is on its way, however low it is.
        for _ in range(max(round(fps / 20), 1)):
            down = down & np.concatenate([down[:1], down[:-1]]) & np.concatenate([down[1:], down[-1:]])
        both = down[1:] & down[:-1] & possible
        displacement = np.diff(joints[:, [heel, toe]][..., ::2], axis=0)[both]
        steps.append(np.linalg.norm(displacement, axis=-1).ravel())
    steps = np.concatenate(steps)
    return float(steps.mean() * fps) if len(steps) else 0.0


def clean_feet(
    joints: Float[np.ndarray, "frames joints 3"], skeleton: Skeleton = HUMANML3D, fps: float | None = None
) -> Float[np.ndarray, "frames joints 3"]:
    """Foot skate cleanup: lock feet during contacts; knees, ankles, heels and toes move, nothing else does.

    Args:
      joints: the motion of one person, y up, in metres.
      skeleton: which joints these are.
      fps: frames in a second; by default the skeleton's.
    """
    fps = fps or skeleton.fps
    cleaned = np.array(joints, np.float64)
    for heel, toe in skeleton.feet:
        _, hip, knee, *foot = next(chain for chain in skeleton.chains if toe in chain)
        heel_down, toe_down = (
            _contacts(cleaned[:, joint], cleaned[:, 0], rest, fps)
            for joint, rest in zip((heel, toe), _rest(cleaned, heel, toe))
        )
        ball, sole = cleaned[:, toe], cleaned[:, heel] - cleaned[:, toe]
        turn = rotations.between(sole, _lock_direction(sole, heel_down, fps))
        rigid = rotations.rotate(turn[:, None], cleaned[:, foot] - ball[:, None])
        goal = (ball + _lock_shift(ball, toe_down, fps))[:, None] + rigid
        changed = np.abs(goal - cleaned[:, foot]).max(axis=(-2, -1)) > 1e-9
        leg = cleaned[changed][:, [hip, knee, foot[0]]]
        cleaned[np.ix_(changed, [knee, *foot])] = _two_bone_ik(leg, goal[changed])
    return cleaned.astype(np.asarray(joints).dtype)


def _rest(joints: Float[np.ndarray, "frames joints 3"], heel: int, toe: int) -> tuple[float, float]:
    """Heights at which heel and toe stand on the ground."""
    floor = np.percentile(joints[..., 1].min(axis=1), 5)
    low = joints[:, toe, 1] < floor + 0.05
    if not low.any():
        return float(floor), float(floor)
    return float(np.percentile(joints[low, heel, 1], 25)), float(np.median(joints[low, toe, 1]))


def _contacts(points: Points, body: Points, rest: float, fps: float) -> list[tuple[int, int]]:
    """Contact detection by hysteresis thresholding: (start, stop) in which a joint is low and slow.

    Slow is by itself or relative to the body.
    """
    speed, pace = _speed(points, 0.05, fps), _speed(body, 0.25, fps)
    comes, stays = (
        (points[:, 1] < rest + height) & (speed < np.clip(share * pace, limit, _FASTEST))
        for height, limit, share in zip(_HEIGHTS, _SPEEDS, _SHARES, strict=True)
    )
    return [(start, stop) for start, stop in _runs(stays) if comes[start:stop].any() and stop - start > 0.05 * fps]


def _speed(points: Points, reach: float, fps: float) -> Float[np.ndarray, "frames"]:
    """Metres a second along the floor, over `reach` seconds to both sides."""
    around = max(round(reach * fps), 1)
    frames = np.arange(len(points))
    before, after = np.maximum(frames - around, 0), np.minimum(frames + around, frames[-1])
    return np.linalg.norm((points[after] - points[before])[:, ::2], axis=-1) * fps / np.maximum(after - before, 1)


def _runs(mask: Bool[np.ndarray, "frames"]) -> list[tuple[int, int]]:
    """Run-length encoding: (start, stop) of the stretches where a mask holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _lock_shift(toe: Points, contacts: list[tuple[int, int]], fps: float) -> Points:
    """Foot locking: what to add to the toe to keep it in place during each contact, with cosine ramps around it."""
    shift = np.zeros_like(toe)
    locks = []
    for start, stop in contacts:
        path = toe[start:stop, ::2]
        back = np.median(path, axis=0) - path
        if np.linalg.norm(back, axis=-1).max() <= _FARTHEST:
            shift[start:stop, ::2] = back
            locks.append((start, stop))
    blend = max(round(_BLEND * fps), 1)
    ends = [(-blend, -blend), *locks, (len(toe) + blend, len(toe) + blend)]
    for (_, left), (right, _) in pairwise(ends):
        frames = np.arange(max(left, 0), min(right, len(toe)))
        length = min(blend, right - left + 1)
        for edge in (left - 1, right):
            if 0 <= edge < len(toe):
                away = np.minimum(np.abs(frames - edge) / length, 1)
                shift[frames] += np.outer((1 + np.cos(np.pi * away)) / 2, shift[edge])
    return shift


def _lock_direction(sole: Points, contacts: list[tuple[int, int]], fps: float) -> Points:
    """Foot locking of the direction from toe to heel, which is constant over the floor while the heel is down, too."""
    direction = sole.copy()
    ramp = max(round(_RAMP * fps), 1)
    for start, stop in contacts:
        flat = sole[start:stop, ::2]
        middle = np.median(flat, axis=0)
        if np.linalg.norm(flat - middle, axis=-1).max() <= _TURN:
            frames = np.arange(start, stop)
            weight = np.minimum(np.minimum(frames - start, stop - 1 - frames) / ramp, 1)[:, None]
            way = rotations.unit((1 - weight) * flat + weight * middle)
            direction[start:stop, ::2] = way * np.linalg.norm(flat, axis=-1, keepdims=True)
    return direction


def _two_bone_ik(
    leg: Float[np.ndarray, "frames 3 3"], foot: Float[np.ndarray, "frames joints 3"]
) -> Float[np.ndarray, "frames joints+1 3"]:
    """Two-bone inverse kinematics: knee and foot of a leg (hip, knee, ankle) whose foot (ankle to toe) has a goal.

    What is too far is reached with the heel raised, and what is farther than that, not quite.
    """
    hip, knee, ankle = np.moveaxis(leg, 1, 0)
    upper, lower = _length(knee - hip), _length(ankle - knee)
    foot = _bring_within_reach(foot, hip, upper + lower)
    across = foot[:, 0] - hip
    span = _length(across)
    along = np.clip((upper**2 + span**2 - lower**2) / (2 * span), -upper, upper)
    aside = np.sqrt(upper**2 - along**2)
    axis = across / span
    bend = _perpendicular(knee - hip, rotations.unit(ankle - hip))
    # A straight leg does not say where its knee goes; then it goes the way of the foot.
    straight = np.exp(-((_length(bend) / 0.01) ** 2))
    bend = rotations.rotate(rotations.between(ankle - hip, across), bend) + 0.01 * straight * rotations.unit(
        _perpendicular(foot[:, -1] - foot[:, 0], axis)
    )
    new_knee = hip + along * axis + aside * rotations.unit(_perpendicular(bend, axis))
    return np.concatenate([new_knee[:, None], foot], axis=1)


def _bring_within_reach(foot: Float[np.ndarray, "frames joints 3"], hip: Points, reach: Lengths) -> np.ndarray:
    """Clamp a foot to the leg's reach: turned about its toe, and moved if that is not enough."""
    toe, ankle = foot[:, -1], foot[:, 0]
    size, way = _length(ankle - toe), hip - toe
    far = _length(way)
    toe = toe + way * np.maximum(1 - (reach + size) / far, 0)
    way, far = hip - toe, np.minimum(far, reach + size)
    # Ankles within reach of a toe that stays are on the circle in which two spheres meet, if they must be that far.
    height = (far**2 + size**2 - reach**2) / (2 * far)
    radius = np.sqrt(np.maximum(size**2 - height**2, 0))
    axis = rotations.unit(way)
    nearest = toe + height * axis + radius * rotations.unit(_perpendicular(ankle - foot[:, -1], axis))
    wanted = np.where(_length(toe + ankle - foot[:, -1] - hip) > reach, nearest - toe, ankle - foot[:, -1])
    turn = rotations.between(ankle - foot[:, -1], wanted)
    return toe[:, None] + rotations.rotate(turn[:, None], foot - foot[:, -1:])


def _length(vectors: Points) -> Lengths:
    return np.linalg.norm(vectors, axis=-1, keepdims=True)


def _perpendicular(vectors: Points, axis: Points) -> Points:
    """Reject vectors from a unit axis: their component at right angles to it."""
    return vectors - np.sum(vectors * axis, axis=-1, keepdims=True) * axis
