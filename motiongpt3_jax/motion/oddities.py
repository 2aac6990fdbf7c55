"""Sanity checks of a motion in metres with y up: outliers in size, axes, handedness and speed.

Each finding is a sentence that names the option which mends it. The options are those of the commands; from Python,
`read_motion` takes the same mapping.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.joint_mapping import ABOUT_FILE, to_y_up
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.rest import rest_of
from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton
from motiongpt3_jax.motion.units import UNITS, fitting_units

LEGS = (0.3, 1.5)
"""Shortest and longest leg that bodies have, metres."""

FASTEST_ROOT = 13.0
"""Metres in a second that no pelvis exceeds: sprinters reach 12.5."""

FASTEST_LIMB = 25.0
"""Metres in a second, seen from the pelvis, that no joint exceeds: fists and kicking feet reach 15 to 20."""

REST_SPEED = 3.0
"""Metres in a second of the first step from which the first frame may be a rest pose before the motion."""

REST_RATIO = 3.0
"""How many times faster than every later step the first one is then; recorded people reach 2.4."""

REST_FRAMES = 5
"""Frames up to which a rest pose is not looked for."""

CHANGE = 1.1
"""Ratio of the sizes of one body, early and late, from which it counts as another body."""

COLLAPSED = 0.2
"""Share of a body's usual extent below which its joints are in one place and no body."""

UPRIGHT = 0.3
"""Height of the head over the feet, as a share of their distance, below which a body does not stand."""


def apply_mapping(motion: Motion, mapping: Mapping[str, Any]) -> tuple[Motion, tuple[str, ...]]:
    """Apply the unit, the vertical axis and the mirroring of a mapping to a motion, and check what comes out.

    Args:
      motion: as its file has it.
      mapping: see `joint_mapping`; what it says of joints' names does not matter here.
    """
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        joints = motion.joints * np.float32(mapping.get("unit", 1))
    joints = to_y_up(joints, mapping.get("up", "y"), mapping.get("mirrored", False))
    motion = replace(motion, joints=joints)
    return motion, oddities(motion, mapping)


def oddities(motion: Motion, mapping: Mapping[str, Any] | None = None, first: int = 0) -> tuple[str, ...]:
    """Sanity checks: sentences on what is odd about a motion; none where all is well.

    The option that a sentence names holds those of the sentences before it, and what the mapping has already.

    Args:
      motion: the motion.
      mapping: its file's, see `joint_mapping`. A body lies on purpose where that says which axis is up.
      first: number of the motion's first frame in its file.
    """
    skeleton, joints = motion.skeleton, np.asarray(motion.joints, np.float64)
    about_file = {key: value for key, value in (mapping or {}).items() if key in ABOUT_FILE}
    leg = float(np.median(_legs(joints, skeleton)))
    notes, option, in_metres = [], dict(about_file), LEGS[0] <= leg <= LEGS[1]
    if not in_metres:
        option["unit"], guess = _likelier_unit(joints / about_file.get("unit", 1), skeleton)
        assumed = (
            f"a unit is taken as {about_file['unit']:g} m" if "unit" in about_file else "joints are taken as metres"
        )
        notes.append(f"the body has legs of {leg:.3g} m; {assumed}: {guess}, give {_option(option)}")
    up = None if "up" in about_file else _standing_axis(joints, skeleton)
    if up:
        option["up"] = up
        notes.append(
            f"the body {'is upside down' if up == '-y' else 'lies or hangs'}: y is taken for the vertical axis; where "
            f"it should stand, turn it with {_option(option)}"
        )
    if _is_mirror_image(joints, skeleton):
        option["mirrored"] = not about_file.get("mirrored", False)
        notes.append(
            "the body is a mirror image, or its left and right are exchanged: its toes point backwards; where a mirror "
            f"is what is wrong, undo it with {_option(option)}"
        )
    for number, person in enumerate(joints, start=1):
        mark = f"person {number}: " if len(joints) > 1 else ""
        steps = jumps(person, motion.fps, first) if in_metres else ()  # else speeds mean nothing
        notes += [mark + note for note in (*steps, *_other_bodies(person, skeleton))]
    return tuple(notes)


def jumps(joints: Float[np.ndarray, "frames joints 3"], fps: float, first: int = 0) -> tuple[str, ...]:
    """Outlier detection: sentences on frames without a body, and on steps that no body makes in the time.

    Args:
      joints: one person, metres, the root first.
      fps: frames in a second.
      first: number of the first frame in its file.
    """
    joints, notes = np.asarray(joints, np.float64), []
    empty = is_no_body(joints)
    if empty.any():
        notes.append(
            f"{_frames(first + np.flatnonzero(empty))} hold no body: all joints lie in one place; leave them out with "
            "--start and --stop"
        )
    kept = np.flatnonzero(~empty)
    if len(kept) < 2:
        return tuple(notes)
    seconds = np.diff(kept) / fps
    root = np.linalg.norm(np.diff(joints[kept, 0], axis=0), axis=-1)
    limbs = np.linalg.norm(np.diff(joints[kept] - joints[kept][:, :1], axis=0), axis=-1).max(axis=-1)
    fast = (root > FASTEST_ROOT * seconds) | (limbs > FASTEST_LIMB * seconds)
    if fast.any():
        worst = int(np.argmax(np.maximum(root, limbs) * fast))
        away, before, frame = float(max(root[worst], limbs[worst])), first + kept[worst], first + kept[worst + 1]
        option = _longest_stretch([kept[0], *kept[1:][fast], kept[-1] + 1], len(joints), first)
        others = f" (one of {int(fast.sum())} such steps)" if fast.sum() > 1 else ""
        notes.append(
            f"from frame {before} to {frame} the body moves {away:.3g} m, {away / seconds[worst]:.3g} m/s{others}, "
            f"which nobody does: leave out what does not belong to the motion, e.g. with {option}"
        )
    elif len(kept) > REST_FRAMES:
        speeds = np.linalg.norm(np.diff(joints[kept], axis=0), axis=-1).max(axis=-1) / seconds
        if speeds[0] > max(REST_SPEED, REST_RATIO * speeds[1:].max()):
            notes.append(
                f"frame {first + kept[0]} is unlike all others, as a rest pose is ({speeds[0]:.3g} m/s to the next, "
                f"{speeds[1:].max():.3g} m/s at most after it): leave it out with --start {first + kept[1]}"
            )
    return tuple(notes)


def _longest_stretch(starts: Sequence[int], frames: int, first: int) -> str:
    """The options that leave the longest of some stretches, each from one start up to the next."""
    start, stop = max(pairwise(starts), key=lambda ends: ends[1] - ends[0])
    options = []
    if start > 0:
        options.append(f"--start {first + start}")
    if stop < frames:
        options.append(f"--stop {first + stop}")
    return " ".join(options)


def is_no_body(joints: Float[np.ndarray, "frames joints 3"]) -> Bool[np.ndarray, "frames"]:
    """Frames whose joints all lie in one place while those of most frames do not."""
    extent = np.ptp(np.asarray(joints, np.float64), axis=1).max(axis=-1)
    return extent < COLLAPSED * np.median(extent)


def feet_to_head(
    joints: Float[np.ndarray, "*batch joints 3"], skeleton: Skeleton = HUMANML3D
) -> Float[np.ndarray, "*batch 3"]:
    """The direction from the feet to the head, of length 1."""
    ankles = [ankle for ankle, _ in skeleton.feet]
    return rotations.unit(joints[..., skeleton.joints.index("head"), :] - joints[..., ankles, :].mean(axis=-2))


def _standing_axis(joints: np.ndarray, skeleton: Skeleton) -> str | None:
    """The axis along which the body stands, where it is another one than y."""
    direction = np.median(feet_to_head(joints, skeleton), axis=(0, 1))
    if direction[1] >= UPRIGHT or not direction.any():
        return None
    axis = int(np.argmax(np.abs(direction)))
    return ("-" if direction[axis] < 0 else "") + "xyz"[axis]


def _is_mirror_image(joints: np.ndarray, skeleton: Skeleton) -> bool:
    """Whether left, up and ahead are those of a mirror image of the rest pose, as the toes tell."""
    rest = np.zeros((1, len(skeleton.joints), 3))
    for joint, parent in enumerate(skeleton.parents):
        rest[0, joint] = np.asarray(rest_of(skeleton).bones[joint]) + (rest[0, parent] if parent >= 0 else 0)
    usual = float(np.sign(_handedness(rest, skeleton)[0]))
    return bool(usual * np.median(_handedness(joints, skeleton)) < -UPRIGHT)


def _likelier_unit(joints: np.ndarray, skeleton: Skeleton) -> tuple[float, str]:
    """Metres in a unit of the joints, by the middle one of what all bones say, and a condition for it."""
    bones = np.linalg.norm(joints[..., 1:, :] - joints[..., list(skeleton.parents[1:]), :], axis=-1)
    usual = np.linalg.norm(np.asarray(rest_of(skeleton).bones)[1:] / 100, axis=-1)
    size = float(np.median(np.median(bones, axis=(0, 1)) / usual))
    fitting = fitting_units(size)
    if fitting:
        return float(f"{UNITS[fitting[0]]:.6g}"), f"if they should be {fitting[0]}"
    return float(f"{1 / size:.3g}") if size > 0 else 0.01, "for a body of a grown-up's size"


def _option(mapping: Mapping[str, str | bool | float]) -> str:
    """The command line option that gives a mapping."""
    return f"--mapping '{json.dumps(mapping)}'"


def _handedness(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Handedness: the signed volume (triple product) that left, up and ahead span; a mirror changes its sign."""
    (right_hip, left_hip), (right_shoulder, left_shoulder) = skeleton.hips, skeleton.shoulders
    left = joints[..., left_hip, :] - joints[..., right_hip, :]
    left = rotations.unit(left + joints[..., left_shoulder, :] - joints[..., right_shoulder, :])
    ahead = rotations.unit(sum(joints[..., toe, :] - joints[..., ankle, :] for ankle, toe in skeleton.feet))
    return np.sum(rotations.cross(left, feet_to_head(joints, skeleton)) * ahead, axis=-1)


def _other_bodies(joints: np.ndarray, skeleton: Skeleton) -> list[str]:
    """A note where one person's body changes its size."""
    legs = _legs(joints[~is_no_body(joints)], skeleton)
    small, large = np.percentile(legs, [2, 98])
    if not small > 0 or large < CHANGE * small:
        return []
    return [f"the body changes: its legs are {small:.2f} m long in some frames and {large:.2f} m in others"]


def _legs(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Lengths of a leg from hip to toe."""
    chain = next(chain for chain in skeleton.chains if skeleton.feet[0][1] in chain)[1:]
    return np.linalg.norm(np.diff(joints[..., chain, :], axis=-2), axis=-1).sum(axis=-1)


def _frames(numbers: np.ndarray) -> str:
    """Numbers of frames as a few ranges."""
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    ranges = [str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts]
    noun = "frame" if len(numbers) == 1 else "frames"
    return f"{noun} {', '.join(ranges[:3])}{' and more' if len(ranges) > 3 else ''}"
