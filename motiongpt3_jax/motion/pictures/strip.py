"""Key poses side by side in one picture, for paper, reports and a quick look."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from PIL import ImageDraw

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.pictures.camera import Camera, view_axes
from motiongpt3_jax.motion.pictures.figure import LEFT, MIDDLE, RIGHT, Figure, as_figure
from motiongpt3_jax.motion.pictures.fonts import font, title_face
from motiongpt3_jax.motion.pictures.paint import (
    BODIES,
    FAINT,
    GRID,
    INK,
    OVERSAMPLING,
    PAPER,
    PATH,
    canvas,
    disc,
    mix,
    paint_bodies,
    paint_shadow,
    take_shot,
    wrap,
    write_lines,
)
from motiongpt3_jax.motion.pictures.video import THREE_QUARTERS
from motiongpt3_jax.motion.saving import whole_file

PITCH = 0.12
"""Radians; nearly level, so that all feet stand on one line."""

FAR = 60.0
"""Metres to the eye: nearly orthographic, so every pose has the same scale."""

GAP = 0.16
"""Metres between neighbouring poses of one person."""

GROUP_GAP = 0.5
"""Metres between neighbouring poses of several persons."""

BODY_ROOM = 0.1
"""Metres from a joint to the outside of the body around it."""


def write_strip(
    path: str | Path,
    motion: Motion,
    caption: str | None = None,
    *,
    poses: int = 8,
    height: int = 320,
    view: float = THREE_QUARTERS,
) -> None:
    """Write one PNG with key poses from left to right in time, all from one side and to one scale.

    Under each pose stand its time and frame. The poses stand beside each other and not where the body was; where it
    went shows the small map at the right: the root's path from above with an arrow in the direction that the body
    faces at each pose. The map's lower edge is towards the viewer.

    Args:
      path: ends in .png; written whole or not at all.
      motion: one or several persons.
      caption: a sentence above the poses.
      poses: how many; a motion of fewer frames shows them all.
      height: height of the picture, pixels; the width follows.
      view: direction of the viewer, radians from where the first person faces in the first frame (0 = from the
        front) towards that person's left; of several persons as `Figure.front` says.

    Raises:
      UserError: another ending, or fewer than one pose.
    """
    if poses < 1:
        raise UserError(f"a strip of {poses} poses shows nothing; ask for at least 1.")
    with whole_file(path, ".png") as file:
        figure = as_figure(motion)
        frames = key_frames(figure, poses)
        axes = view_axes(figure.front() + view, PITCH)
        large = height * OVERSAMPLING
        face = title_face(max(height / 17, 9) * OVERSAMPLING, caption or "")
        small = title_face(max(height / 25, 8) * OVERSAMPLING)
        upper, lower = face.size * (2.9 if caption else 0.6), large - small.size * 2.9
        row = lay_out(figure, frames, axes, (upper, lower), edge=large * 0.04, label=4.2 * small.size)
        side = lower - upper  # of the map, which is a square
        image, draw = canvas(math.ceil((row.right + side + row.edge * 2) / OVERSAMPLING), height)
        draw.line([row.edge, row.ground, row.right, row.ground], fill=GRID, width=2 * OVERSAMPLING)
        for number, frame in enumerate(frames):
            shot = take_shot(figure.only(frame), row.camera(number))
            paint_shadow(draw, shot, 0)
            paint_bodies(draw, shot, 0)
            at = row.middles[number]
            draw.line([at, lower + small.size * 0.15, at, lower + small.size * 0.35], fill=FAINT, width=OVERSAMPLING)
            write_lines(draw, [f"{frame / figure.fps:.1f} s"], small, at, lower + small.size * 0.4, INK)
            write_lines(draw, [f"frame {frame}"], small, at, lower + small.size * 1.6, FAINT)
        paint_map(draw, figure, frames, axes, (image.width - row.edge - side, upper, side), small.size)
        rows = wrap(caption or "", face, image.width - 2 * row.edge, lines=2)
        write_lines(draw, rows, face, image.width / 2, face.size * 0.4, INK)
        image.reduce(OVERSAMPLING).save(file)


@dataclass(frozen=True)
class Row:
    """Layout of the poses: pixels, unless noted.

    Attributes:
      edge: room left and right.
      right: where the floor line ends.
      ground: height of the floor line.
      middles: middle of each pose's place.
      roots: where the point between the persons' roots is, in each place.
      centres: that point's place on the floor, metres.
      axes: of the camera.
      scale: pixels per metre.
    """

    edge: float
    right: float
    ground: float
    middles: Float[np.ndarray, "poses"]
    roots: Float[np.ndarray, "poses"]
    centres: Float[np.ndarray, "poses 3"]
    axes: Float[np.ndarray, "3 3"]
    scale: float

    def camera(self, pose: int) -> Camera:
        """The camera that shows a pose in its place."""
        place = (float(self.roots[pose]), self.ground)
        return Camera(self.centres[pose : pose + 1], self.axes, FAR, place, self.scale * FAR)


def lay_out(
    figure: Figure,
    frames: Int[np.ndarray, "poses"],
    axes: Float[np.ndarray, "3 3"],
    span: tuple[float, float],
    edge: float,
    label: float,
) -> Row:
    """Gives every pose a place as wide as it is, so that none overlap, between the heights `span`.

    Persons of a pose stay where they are to each other. `label` is the width that the words under a pose need.
    """
    joints = figure.joints[:, frames]
    centres = joints[:, :, figure.root].mean(0) * [1, 0, 1]
    view = (joints - centres[:, None]) @ axes.T
    floor = ((joints - centres[:, None]) * [1, 0, 1]) @ axes.T
    left = np.minimum(view, floor)[..., 0].min(axis=(0, 2)) - BODY_ROOM
    right = np.maximum(view, floor)[..., 0].max(axis=(0, 2)) + BODY_ROOM
    top, low = max(float(view[..., 1].max()) + 2 * BODY_ROOM, 1.5), float(floor[..., 1].min())
    scale = (span[1] - span[0]) / (top - low)
    gap = GAP if len(joints) == 1 else GROUP_GAP
    widths = (np.maximum(right - left, label / scale) + gap) * scale
    middles = edge + np.cumsum(widths) - widths / 2
    roots = middles - (left + right) / 2 * scale
    return Row(edge, edge + float(widths.sum()), span[1] + low * scale, middles, roots, centres, axes, scale)


def key_frames(figure: Figure, poses: int) -> Int[np.ndarray, "poses"]:
    """Key frames by farthest-point sampling: the first, the last, and then always the one least like those before.

    Likeness counts the body's shape, its height and its heading, and a little the time, so that a motion that repeats
    itself is shown all along. Extremes (the top of a jump, the stretched leg of a kick) come first.
    """
    if poses >= figure.frames:
        return np.arange(figure.frames)
    shape = figure.joints - figure.joints[:, :, figure.root, None] * [1, 0, 1]
    features = np.moveaxis(shape, 1, 0).reshape(figure.frames, -1) / np.sqrt(shape.shape[0] * shape.shape[2])
    spread = max(float(np.linalg.norm(features - features.mean(0), axis=-1).max()), 0.05)
    time = np.linspace(0, 4 * spread, figure.frames)[:, None]
    features = np.concatenate([features, time], axis=-1)
    keys = [0]
    away = np.linalg.norm(features - features[0], axis=-1)
    while len(keys) < poses:
        keys.append(figure.frames - 1 if len(keys) == 1 else int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(features - features[keys[-1]], axis=-1))
    return np.sort(keys)


def paint_map(
    draw: ImageDraw.ImageDraw,
    figure: Figure,
    frames: Int[np.ndarray, "poses"],
    axes: Float[np.ndarray, "3 3"],
    place: tuple[float, float, float],
    text: float,
) -> None:
    """The paths from above, with a facing arrow at each pose, in a square at (left, top, side)."""
    left, top, side = place
    draw.rounded_rectangle([left, top, left + side, top + side], radius=side * 0.04, outline=GRID, width=OVERSAMPLING)
    # Downwards on the map is towards the viewer.
    toward = axes[2] * [1, 0, 1] / np.linalg.norm(axes[2] * [1, 0, 1])
    plane = np.stack([axes[0], toward])
    ways = (figure.joints[:, :, figure.root] * [1, 0, 1]) @ plane.T
    facing = figure.facing()
    arrows = np.stack([np.sin(facing), np.zeros_like(facing), np.cos(facing)], axis=-1) @ plane.T
    low, high = ways.min(axis=(0, 1)), ways.max(axis=(0, 1))
    scale = side * 0.56 / max(float((high - low).max()), 0.8)
    middle = np.array([left + side / 2, top + side * 0.45])
    ways = (ways - (low + high) / 2) * scale + middle
    metre = next(m for m in (5.0, 2.0, 1.0, 0.5, 0.2) if m * scale < side * 0.5 or m == 0.2)
    for person, (way, direction) in enumerate(zip(ways, arrows)):
        colour = BODIES[person % len(BODIES)][MIDDLE]
        if len(way) > 1:
            draw.line([tuple(p) for p in way.tolist()], fill=PATH, width=2 * OVERSAMPLING, joint="curve")
        for number, frame in enumerate(frames):
            share = 1 - number / max(len(frames) - 1, 1)
            paint_arrow(draw, way[frame], direction[frame], side * 0.13, mix(colour, PAPER, 0.65 * share))
        disc(draw, way[0], side * 0.02, PATH)
    bar, y = metre * scale, top + side * 0.93
    draw.line([left + side / 2 - bar / 2, y, left + side / 2 + bar / 2, y], fill=FAINT, width=OVERSAMPLING)
    face = font(text * 0.9)
    draw.text((left + side / 2, y - text * 0.2), f"{metre:g} m, from above", fill=FAINT, font=face, anchor="mb")
    for name, share, anchor in ((RIGHT, 0.05, "la"), (LEFT, 0.95, "ra")):
        draw.text((left + side * share, top + side * 0.04), name, fill=BODIES[0][name], font=face, anchor=anchor)


def paint_arrow(
    draw: ImageDraw.ImageDraw, at: np.ndarray, direction: np.ndarray, length: float, colour: tuple[int, int, int]
) -> None:
    """An arrow with its tail on a point."""
    across = np.array([-direction[1], direction[0]])
    tip, neck = at + direction * length, at + direction * length * 0.6
    draw.line([*at, *neck], fill=colour, width=2 * OVERSAMPLING)
    draw.polygon([tuple(tip), tuple(neck + across * length * 0.22), tuple(neck - across * length * 0.22)], fill=colour)
    disc(draw, at, length * 0.12, colour)
