"""Drawing with Pillow: bodies, floor, paths and captions on a picture of double size, halved at the end."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from motiongpt3_jax.motion.pictures.camera import Camera
from motiongpt3_jax.motion.pictures.figure import LEFT, MIDDLE, RIGHT, Figure
from motiongpt3_jax.motion.pictures.fonts import Face

Colour = tuple[int, int, int]
Pixel = Float[np.ndarray, "_"]  # x, y (down) and, where it matters, the depth in metres

OVERSAMPLING = 2
"""Anti-aliasing by supersampling: pictures are drawn this much larger and then reduced."""

PAPER: Colour = (250, 250, 248)
GRID: Colour = (196, 200, 204)
SHADOW: Colour = (222, 223, 224)
PATH: Colour = (92, 158, 112)
INK: Colour = (45, 50, 58)
FAINT: Colour = (128, 134, 142)
# One row a person, so that two bodies in one picture stay apart; orange is always left, blue always right.
BODIES: tuple[dict[str, Colour], ...] = (
    {LEFT: (228, 108, 34), RIGHT: (38, 112, 196), MIDDLE: (58, 62, 70)},
    {LEFT: (240, 164, 66), RIGHT: (92, 176, 222), MIDDLE: (132, 84, 160)},
    {LEFT: (188, 84, 60), RIGHT: (40, 72, 150), MIDDLE: (40, 128, 98)},
)

BONE = 0.055
"""Thickness of a limb, metres."""

TRUNK = 0.075
"""Thickness of the trunk, metres."""

FADE = 0.45
"""How far the farthest limb's colour goes towards the paper's."""


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """`colour` with a share of `other`."""
    return tuple(round(a + (b - a) * share) for a, b in zip(colour, other))


@dataclass(frozen=True)
class Shot:
    """A figure as a camera sees it: pixels and depths of all that moves, for every frame.

    Attributes:
      figure: the bodies.
      joints: pixel x, y and depth of each joint.
      shadows: the same of each joint's place on the floor.
      heads: the same of the heads' centres.
      noses: the same of a point in front of each face.
      radius: radius of a head, metres.
      camera: the camera.
    """

    figure: Figure
    joints: Float[np.ndarray, "frames persons joints 3"]
    shadows: Float[np.ndarray, "frames persons joints 3"]
    heads: Float[np.ndarray, "frames persons 3"]
    noses: Float[np.ndarray, "frames persons 3"]
    radius: float
    camera: Camera


def take_shot(figure: Figure, camera: Camera) -> Shot:
    """Projects everything at once, so that painting a frame only draws."""
    joints = np.moveaxis(figure.joints, 1, 0)
    heads, radius = figure.head_ball()
    facing = figure.facing()
    nose = np.stack([np.sin(facing), np.zeros_like(facing), np.cos(facing)], axis=-1) * radius * 1.25
    return Shot(
        figure,
        camera.project(joints),
        camera.project(joints * [1, 0, 1]),
        camera.project(np.moveaxis(heads, 1, 0)),
        camera.project(np.moveaxis(heads + nose, 1, 0)),
        radius,
        camera,
    )


def paint_shadow(draw: ImageDraw.ImageDraw, shot: Shot, frame: int) -> None:
    """Drop shadows of the bodies, lit from straight above: they show how far above the floor these are."""
    for body in shot.shadows[frame]:
        for upper, lower, _ in shot.figure.bones:
            width = BONE * float(shot.camera.scale(body[lower, 2]))
            capsule(draw, body[upper], body[lower], width, SHADOW)


def paint_bodies(draw: ImageDraw.ImageDraw, shot: Shot, frame: int) -> None:
    """Painter's algorithm: all bodies of a frame, far parts first and paler."""
    joints = shot.joints[frame]
    near, far = joints[..., 2].min(), joints[..., 2].max()
    parts = []
    for person, body in enumerate(joints):
        colours = BODIES[person % len(BODIES)]
        for upper, lower, side in shot.figure.bones:
            if lower != shot.figure.head:
                # Limbs are set off from what they pass in front of; hips and collar bones grow out of the trunk.
                apart = MIDDLE not in (side, shot.figure.sides[upper])
                width = TRUNK if side == MIDDLE else BONE
                depth = (body[upper, 2] + body[lower, 2]) / 2
                parts.append((depth, colours[side], paint_limb, (body[upper], body[lower], width, apart)))
        head, nose = shot.heads[frame, person], shot.noses[frame, person]
        parts.append((head[2], colours[MIDDLE], paint_head, (head, nose, shot.radius)))
    parts.sort(key=lambda part: -part[0])
    for depth, colour, paint, shape in parts:
        colour = mix(colour, PAPER, FADE * (depth - near) / max(far - near, 0.3))
        paint(draw, colour, float(shot.camera.scale(depth)), *shape)


def paint_limb(
    draw: ImageDraw.ImageDraw, colour: Colour, scale: float, start: Pixel, end: Pixel, width: float, apart: bool
) -> None:
    """A bone; `apart` gives it a rim of paper that stops short of the joints."""
    if apart:
        inset = (end - start) * 0.25
        stroke(draw, start + inset, end - inset, width * scale * 1.6, PAPER)
    capsule(draw, start, end, width * scale, colour)


def paint_head(
    draw: ImageDraw.ImageDraw, colour: Colour, scale: float, head: Pixel, nose: Pixel, radius: float
) -> None:
    """A ball with a nose; a nose that points away lies behind the ball."""
    radius *= scale
    beak = (head, nose, radius * 0.55, mix(colour, PAPER, 0.25))
    away = nose[2] > head[2]
    if away:
        capsule(draw, *beak)
    disc(draw, head, radius * 1.25, PAPER)
    disc(draw, head, radius, colour)
    if not away:
        capsule(draw, *beak)


def paint_floor(draw: ImageDraw.ImageDraw, camera: Camera, frame: int, reach: float, cell: float = 0.5) -> None:
    """A square grid on the floor that fades away around the target."""
    target = camera.targets[frame]
    points = np.arange(-np.ceil(reach / cell), np.ceil(reach / cell) + 1)
    lines = []
    for fixed, moving in ((0, 2), (2, 0)):
        at = np.floor(target[[fixed, moving]] / cell)
        line = np.zeros((len(points), len(points), 3))
        line[..., fixed] = (at[0] + points[:, None]) * cell
        line[..., moving] = (at[1] + points[None, :]) * cell
        lines.append(line)
    lines = np.concatenate(lines)
    away = np.linalg.norm((lines - target)[..., [0, 2]], axis=-1) / reach
    pixels = camera.at(frame).project(lines[None])[0]
    strength = np.clip(1 - (away[:, :-1] + away[:, 1:]) / 2, 0, 1)
    strength[np.minimum(pixels[:, :-1, 2], pixels[:, 1:, 2]) < 0.3] = 0
    for line, strengths in zip(pixels[..., :2].tolist(), strength.tolist()):
        for start, end, share in zip(line, line[1:], strengths):
            if share > 0.03:
                draw.line([*start, *end], fill=mix(PAPER, GRID, share), width=OVERSAMPLING)


def paint_path(draw: ImageDraw.ImageDraw, points: Float[np.ndarray, "points 3"], current: int) -> None:
    """A root's trajectory on the floor: strong up to the current point, pale after it."""
    pixels = [tuple(point) for point in points[:, :2].tolist()]
    for part, colour in ((pixels[current:], mix(PATH, PAPER, 0.65)), (pixels[: current + 1], PATH)):
        if len(part) > 1:
            draw.line(part, fill=colour, width=2 * OVERSAMPLING, joint="curve")


def capsule(draw: ImageDraw.ImageDraw, start: Pixel, end: Pixel, width: float, colour: Colour) -> None:
    """A line with round ends."""
    stroke(draw, start, end, width, colour)
    disc(draw, start, width / 2, colour)
    disc(draw, end, width / 2, colour)


def stroke(draw: ImageDraw.ImageDraw, start: Pixel, end: Pixel, width: float, colour: Colour) -> None:
    """A line with blunt ends, of a width that need not be whole."""
    (x0, y0), (x1, y1) = start[:2].tolist(), end[:2].tolist()
    half = width / 2 / max(math.hypot(x1 - x0, y1 - y0), 1e-6)
    nx, ny = (y0 - y1) * half, (x1 - x0) * half
    draw.polygon([(x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)], fill=colour)


def disc(draw: ImageDraw.ImageDraw, at: Pixel, radius: float, colour: Colour) -> None:
    """A filled circle."""
    x, y = at[:2].tolist()
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)


def wrap(text: str, face: Face, width: float, lines: int) -> list[str]:
    """Wrap a text into at most `lines` lines of at most `width` pixels; what does not fit ends in an ellipsis."""
    rows: list[str] = []
    words = text.split()
    while words and len(rows) < lines:
        count = len(words)
        while count > 1 and face.getlength(" ".join(words[:count])) > width:
            count -= 1
        rows.append(" ".join(words[:count]))
        words = words[count:]
    if not rows:
        return rows
    last, cut = rows[-1], bool(words)
    while last and face.getlength(last + ("..." if cut else "")) > width:
        last, cut = last[:-1], True
    rows[-1] = last.rstrip(" ,") + ("..." if cut else "")
    return [cut_to_width(row, face, width) for row in rows]


def cut_to_width(row: str, face: Face, width: float) -> str:
    """Truncate a row to a width: a single word may be wider than the picture."""
    while len(row) > 1 and face.getlength(row) > width:
        row = row[:-1]
    return row


def write_lines(draw: ImageDraw.ImageDraw, rows: Sequence[str], face: Face, x: float, y: float, colour: Colour) -> None:
    """Rows of text, each centred at x, from y downwards."""
    for number, row in enumerate(rows):
        face.write(draw, x, y + number * face.size * 1.3, row, colour)


def canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty picture of double size and the pen for it."""
    image = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING), PAPER)
    return image, ImageDraw.Draw(image)
