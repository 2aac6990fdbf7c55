"""Measurements of a motion in every frame, invariant to place, heading and size."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from motiongpt3_jax.errors import UserError

Frames = Float[np.ndarray, "frames"]
Sides = Float[np.ndarray, "frames 2"]

FPS = 20.0
"""Frames in a second of the motions that are measured."""

ADULT_LEG = 0.82
"""Metres from hip to ankle of the body to whose size all lengths are brought."""

_LEGS = ((1, 4), (4, 7), (2, 5), (5, 8))
"""Bones of both legs, as pairs of joints."""

_STANDING = 1.16
"""Height of a standing body's pelvis, in legs."""


@dataclass(frozen=True)
class Signals:
    """Measurements; lengths in metres of an average adult, angles in radians, sides are (left, right).

    Attributes:
      ground: x and z of the pelvis.
      height: height of the pelvis; 1 stands upright.
      heading: where the body faces, continuous over full turns.
      pitch: forward tilt of the line from pelvis to neck.
      toes: height of the toes above the ground.
      ankle_up: height of the ankles above the ground.
      ankle_ahead: how far the ankles are ahead of the pelvis.
      ankle_out: how far they are beside it, outwards.
      knee_up: height of the knees over the hips.
      wrist_up: height of the wrists over the shoulders, in arms.
      wrist_ahead: how far the wrists are ahead of the shoulders, in arms.
      wrist_out: how far they are beside them, outwards, in arms.
      wrist_gap: distance between the wrists.
    """

    ground: Float[np.ndarray, "frames 2"]
    height: Frames
    heading: Frames
    pitch: Frames
    toes: Sides
    ankle_up: Sides
    ankle_ahead: Sides
    ankle_out: Sides
    knee_up: Sides
    wrist_up: Sides
    wrist_ahead: Sides
    wrist_out: Sides
    wrist_gap: Frames

    def travel(self, start: int, stop: int) -> tuple[float, float]:
        """Metres ahead and to the left from one frame to another, along the heading between them."""
        x, z = self.ground[stop] - self.ground[start]
        yaw = np.median(self.heading[start : stop + 1])
        return float(x * np.sin(yaw) + z * np.cos(yaw)), float(x * np.cos(yaw) - z * np.sin(yaw))


def measure(joints: Float[np.ndarray, "frames 22 3"]) -> Signals:
    """Measure a motion in HumanML3D's joints, metres, y up, 20 fps.

    Raises:
      UserError: wrong shape.
    """
    joints = np.asarray(joints, np.float64)
    if joints.ndim != 3 or joints.shape[1:] != (22, 3) or len(joints) < 2:
        raise UserError(f"joints have shape {joints.shape}; expected (frames, 22, 3) with at least 2 frames.")
    joints = smooth(joints, 0.8) * (ADULT_LEG / leg_length(joints))
    arm = (_length(joints, 16, 18) + _length(joints, 18, 20) + _length(joints, 17, 19) + _length(joints, 19, 21)) / 2
    joints = joints - [0.0, np.percentile(joints[:, [10, 11], 1].min(axis=1), 5), 0.0]
    heading = _heading(joints)
    pelvis, neck = joints[:, 0], joints[:, 12]
    ankles = _to_body_frame(joints[:, [7, 8]] - joints[:, :1], heading)
    wrists = _to_body_frame(joints[:, [20, 21]] - joints[:, [16, 17]], heading) / max(arm, 1e-6)
    trunk = _to_body_frame((neck - pelvis)[:, None], heading)[:, 0]
    outward = np.array([1.0, -1.0])
    return Signals(
        ground=pelvis[:, ::2],
        height=pelvis[:, 1] / (_STANDING * ADULT_LEG),
        heading=heading,
        pitch=np.arctan2(trunk[:, 2], trunk[:, 1]),
        toes=joints[:, [10, 11], 1],
        ankle_up=joints[:, [7, 8], 1],
        ankle_ahead=ankles[..., 2],
        ankle_out=ankles[..., 0] * outward,
        knee_up=joints[:, [4, 5], 1] - joints[:, [1, 2], 1],
        wrist_up=wrists[..., 1],
        wrist_ahead=wrists[..., 2],
        wrist_out=wrists[..., 0] * outward,
        wrist_gap=np.linalg.norm(joints[:, 20] - joints[:, 21], axis=-1),
    )


def leg_length(joints: Float[np.ndarray, "frames 22 3"]) -> float:
    """Metres from hip to ankle, the mean of both legs; never 0."""
    return max(sum(_length(joints, a, b) for a, b in _LEGS), 1e-6) / 2


def is_body(joints: Float[np.ndarray, "frames 22 3"]) -> bool:
    """Whether the legs keep their lengths, by and large, and carry a trunk: else there is nothing to read."""
    lengths = np.stack([np.linalg.norm(joints[:, a] - joints[:, b], axis=-1) for a, b in _LEGS])
    steady = np.std(lengths, axis=-1) < 0.25 * np.median(lengths, axis=-1)
    return bool(steady.all() and np.mean(joints[:, 12, 1] > joints[:, 0, 1]) > 0.5)


def smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian low-pass filter over frames (the first axis); the ends are held."""
    radius = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    padded = np.concatenate([values[:1].repeat(radius, 0), values, values[-1:].repeat(radius, 0)])
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis=0) @ (kernel / kernel.sum())


def runs(mask: Bool[np.ndarray, "frames"], shortest: int = 1, bridge: int = 0) -> list[tuple[int, int]]:
    """Run-length encoding: (first, last) frames of the stretches where a mask holds, gaps of up to `bridge` closed."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    stretches: list[list[int]] = []
    for first, after in edges.reshape(-1, 2):
        if stretches and first - stretches[-1][1] - 1 <= bridge:
            stretches[-1][1] = int(after) - 1
        else:
            stretches.append([int(first), int(after) - 1])
    return [(first, last) for first, last in stretches if last - first + 1 >= shortest]


def _length(joints: np.ndarray, a: int, b: int) -> float:
    return float(np.median(np.linalg.norm(joints[:, a] - joints[:, b], axis=-1)))


def _heading(joints: np.ndarray) -> Frames:
    across = joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]
    return np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))


def _to_body_frame(vectors: Float[np.ndarray, "frames n 3"], heading: Frames) -> Float[np.ndarray, "frames n 3"]:
    """Rotate vectors into the body frame: left, up, ahead."""
    cos, sin = np.cos(heading)[:, None], np.sin(heading)[:, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.stack([x * cos - z * sin, y, z * cos + x * sin], axis=-1)
