"""A perspective camera that keeps all bodies in the picture."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

FIELD_OF_VIEW = 0.5
"""Radians; narrow, so that near limbs do not swell."""

MARGIN = 0.9
"""Share of the picture that bodies may fill."""


@dataclass(frozen=True)
class Camera:
    """Perspective (pinhole) camera, one target a frame.

    Attributes:
      targets: the point in the middle of the picture, per frame, metres.
      axes: rows are the picture's right, its up, and the direction from the target to the eye.
      distance: metres from the target to the eye.
      centre: pixel of the target.
      focal: pixels per unit of (offset / depth).
    """

    targets: Float[np.ndarray, "frames 3"]
    axes: Float[np.ndarray, "3 3"]
    distance: float
    centre: tuple[float, float]
    focal: float

    def project(self, points: Float[np.ndarray, "frames *points 3"]) -> Float[np.ndarray, "frames *points 3"]:
        """Perspective projection of world points, frame by frame: pixels x and y (down), and depth from the eye."""
        targets = self.targets.reshape(len(self.targets), *[1] * (points.ndim - 2), 3)
        view = (points - targets) @ self.axes.T
        depth = np.maximum(self.distance - view[..., 2], 0.05)
        scale = self.focal / depth
        return np.stack([self.centre[0] + view[..., 0] * scale, self.centre[1] - view[..., 1] * scale, depth], axis=-1)

    def at(self, frame: int) -> "Camera":
        """The camera of one frame."""
        return replace(self, targets=self.targets[frame : frame + 1])

    def scale(self, depth: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """Pixels per metre at a depth."""
        return self.focal / depth


def view_axes(heading: float, pitch: float) -> Float[np.ndarray, "3 3"]:
    """Axes of a camera that stands at `heading` (radians from +z towards +x) and looks down by `pitch` (radians)."""
    toward = np.array([np.sin(heading) * np.cos(pitch), np.sin(pitch), np.cos(heading) * np.cos(pitch)])
    right = np.array([np.cos(heading), 0.0, -np.sin(heading)])
    return np.stack([right, np.cross(toward, right), toward])


def framing_camera(
    joints: Float[np.ndarray, "persons frames joints 3"],
    heading: float,
    box: tuple[float, float, float, float],
    pitch: float = 0.26,
) -> Camera:
    """A camera of fixed direction that shows every body in every frame.

    It stands still while bodies stay on a spot, and pans with them when they travel, so that they stay large.

    Args:
      joints: positions in metres, y up, floor at 0.
      heading: direction that the camera stands in, radians from +z towards +x.
      box: left, top, right, bottom pixels of the part of the picture that bodies may fill.
      pitch: angle that the camera looks down by, radians.
    """
    frames = joints.shape[1]
    ground = joints.mean(axis=(0, 2))[:, [0, 2]]
    low, high = ground.min(0), ground.max(0)
    middle = (low + high) / 2
    follow = np.clip((np.linalg.norm(high - low) - 0.6) / 1.2, 0.0, 1.0)
    path = middle + follow * (smooth(ground, window=15) - middle)
    top = max(float(joints[..., 1].max()) + 0.2, 1.6)
    targets = np.stack([path[:, 0], np.full(frames, top / 2), path[:, 1]], axis=-1)

    left, upper, right, lower = box
    half = np.array([right - left, lower - upper]) / 2 * MARGIN
    focal = half.min() / np.tan(FIELD_OF_VIEW / 2)
    axes = view_axes(heading, pitch)
    head_room = np.array([0, 0.15, 0])
    points = np.concatenate([joints * [1, 0, 1], joints, joints + head_room], axis=2)  # the floor below counts too
    view = np.moveaxis(points, 1, 0) - targets[:, None, None]
    view = view @ axes.T
    distance = view[..., 2] + focal * np.maximum(np.abs(view[..., 0]) / half[0], np.abs(view[..., 1]) / half[1])
    centre = ((left + right) / 2, (upper + lower) / 2)
    return Camera(targets, axes, max(float(distance.max()), 1.0), centre, focal)


def smooth(path: Float[np.ndarray, "frames n"], window: int) -> Float[np.ndarray, "frames n"]:
    """Low-pass filter of a path over time with a Hann window; its ends are held."""
    weights = np.hanning(2 * window + 1)
    padded = np.pad(path, [(window, window), (0, 0)], mode="edge")
    return np.stack([np.convolve(column, weights / weights.sum(), mode="valid") for column in padded.T], axis=-1)
