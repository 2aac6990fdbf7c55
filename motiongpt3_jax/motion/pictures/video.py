"""Render motions to video: animated GIF and MP4 (H.264)."""

import subprocess
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageDraw

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.pictures.camera import framing_camera
from motiongpt3_jax.motion.pictures.figure import LEFT, RIGHT, Figure, as_figure
from motiongpt3_jax.motion.pictures.fonts import font, title_face
from motiongpt3_jax.motion.pictures.paint import (
    BODIES,
    FAINT,
    GRID,
    INK,
    OVERSAMPLING,
    PATH,
    canvas,
    paint_bodies,
    paint_floor,
    paint_path,
    paint_shadow,
    take_shot,
    wrap,
    write_lines,
)
from motiongpt3_jax.motion.saving import whole_file

THREE_QUARTERS = 0.65
"""Radians between where the body first faces and where the camera stands."""

SMALLEST = 64
"""Pixels of the smallest picture."""

GIF_FASTEST = 50.0
"""Frames per second: viewers slow down GIFs whose frames are shorter than 20 ms."""


def write_gif(
    path: str | Path, motion: Motion, caption: str | None = None, *, size: int = 400, view: float = THREE_QUARTERS
) -> None:
    """Write a motion as a looping GIF.

    Args:
      path: ends in .gif; written whole or not at all.
      motion: one or several persons.
      caption: a sentence above the picture.
      size: width and height, pixels.
      view: direction of the camera, radians from where the first person faces in the first frame (0 = from the
        front) towards that person's left; of several persons as `Figure.front` says.

    Raises:
      UserError: another ending, or a size that shows nothing.
    """
    with whole_file(path, ".gif") as file:
        figure = as_figure(motion)
        stride = int(np.ceil(figure.fps / GIF_FASTEST))
        images = list(paint_frames(figure, caption, size, view, stride))
        palette = palette_of(images)
        images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
        images[0].save(
            file,
            save_all=True,
            append_images=images[1:],
            duration=durations(len(images), figure.fps / stride),
            loop=0,
            optimize=False,
        )


def write_mp4(
    path: str | Path, motion: Motion, caption: str | None = None, *, size: int = 480, view: float = THREE_QUARTERS
) -> None:
    """Write a motion as an H.264 video that plays everywhere (yuv420p, even sizes, header first).

    Args:
      path: ends in .mp4; written whole or not at all.
      motion: one or several persons.
      caption: a sentence above the picture.
      size: width and height, pixels; an odd size is rounded up.
      view: direction of the camera, as in `write_gif`.

    Raises:
      UserError: another ending, or a size that shows nothing.
    """
    with whole_file(path, ".mp4") as file:
        figure = as_figure(motion)
        size += size % 2
        frames = (image.tobytes() for image in paint_frames(figure, caption, size, view))
        encode_h264(file, frames, size, figure.fps)


def encode_h264(file: Path, frames: Iterator[bytes], size: int, fps: float) -> None:
    """Encodes square RGB frames with ffmpeg.

    Raises:
      OSError: ffmpeg could not, e.g. because the disk is full.
    """
    rate = str(Fraction(fps).limit_denominator())  # 24000/1001 is not rounded
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size}x{size}", "-r", rate, "-i", "-")
    target = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "20", "-preset", "veryfast", "-movflags", "+faststart")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *source, "-an", *target, str(file)]
    with warnings.catch_warnings():
        # JAX warns of forks in general; ffmpeg is another program, which never runs Python again.
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        encoder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
    with encoder:
        try:
            for frame in frames:
                encoder.stdin.write(frame)
            encoder.stdin.close()
        except BrokenPipeError:
            pass  # ffmpeg has given up, and says why
        except BaseException:
            encoder.kill()
            raise
        messages = encoder.stderr.read().decode(errors="replace").strip().splitlines()
    if encoder.returncode:
        reason = messages[0].rpartition("] ")[2] if messages else f"status {encoder.returncode}"
        raise OSError(f"ffmpeg could not encode it ({reason})")


def paint_frames(figure: Figure, caption: str | None, size: int, view: float, stride: int = 1) -> Iterator[Image.Image]:
    """Render every `stride`-th frame of a figure as an RGB picture of size x size pixels.

    Raises:
      UserError: the size is too small to show anything.
    """
    if size < SMALLEST:
        raise UserError(f"pictures of {size} pixels show nothing; ask for a size of at least {SMALLEST}.")
    large = size * OVERSAMPLING
    face = title_face(max(size / 25, 9) * OVERSAMPLING, caption or "")
    rows = wrap(caption or "", face, large * 0.94, lines=3)
    top = len(rows) * face.size * 1.3 + large * 0.025
    bottom = large * 0.945
    heading = figure.front() + view
    camera = framing_camera(figure.joints, heading, (0, top, large, bottom))
    shot = take_shot(figure, camera)
    # The paths of all roots, thinned so that a long motion costs no more than a short one.
    marks = np.unique(np.linspace(0, figure.frames - 1, min(figure.frames, 120)).round().astype(int))
    ways = figure.joints[:, marks, figure.root] * [1, 0, 1]
    reach = max(3.0, camera.distance * 0.55)
    still = bool((np.ptp(camera.targets, axis=0) == 0).all())
    background = None
    for frame in range(0, figure.frames, stride):
        if background is None or not still:
            background, draw = canvas(size, size)
            paint_floor(draw, camera, frame, reach)
        image = background.copy() if still else background
        draw = ImageDraw.Draw(image)
        paint_shadow(draw, shot, frame)
        current = int(np.searchsorted(marks, frame, side="right")) - 1
        for way in ways:
            paint_path(draw, camera.at(frame).project(way[None])[0], current)
        paint_bodies(draw, shot, frame)
        write_lines(draw, rows, face, large / 2, large * 0.02, INK)
        paint_clock(draw, frame, figure, large)
        yield image.reduce(OVERSAMPLING)


def paint_clock(draw: ImageDraw.ImageDraw, frame: int, figure: Figure, large: int) -> None:
    """Legend of the sides, progress bar and time, along the lower edge."""
    face = font(max(large / 33, 8 * OVERSAMPLING))
    left, right, y = large * 0.03, large * 0.83, large * 0.965
    words = (LEFT, RIGHT)
    # Pictures as small as a thumbnail have no room for words.
    if sum(map(face.getlength, words)) < 0.25 * large:
        for word in words:
            draw.text((left, y), word, fill=BODIES[0][word], font=face, anchor="lm")
            left += face.getlength(word + "  ")
    end = left + (right - left) * frame / max(figure.frames - 1, 1)
    draw.line([left, y, right, y], fill=GRID, width=2 * OVERSAMPLING)
    draw.line([left, y, end, y], fill=PATH, width=2 * OVERSAMPLING)
    draw.text((large * 0.97, y), f"{frame / figure.fps:.1f} s", fill=FAINT, font=face, anchor="rm")


def palette_of(images: list[Image.Image]) -> Image.Image:
    """One palette for a whole video (median cut), so that the floor does not flicker, from frames spread over it."""
    samples = [images[int(i)] for i in np.linspace(0, len(images) - 1, min(6, len(images)))]
    width, height = samples[0].size
    sheet = Image.new("RGB", (width, height * len(samples)))
    for number, image in enumerate(samples):
        sheet.paste(image, (0, number * height))
    return sheet.quantize(colors=128, method=Image.Quantize.MEDIANCUT)


def durations(count: int, fps: float) -> list[int]:
    """Frame durations in milliseconds: whole hundredths of a second, as GIF has them, that do not drift."""
    ends = np.round(np.arange(count + 1) * 100 / fps).astype(int)
    return (np.diff(ends) * 10).tolist()
