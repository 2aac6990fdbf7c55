"""Motions that are longer than the model makes at once: several windows that overlap, blended into one motion."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.continuation import seed_of
from motiongpt3_jax.inference.engine import Engine, Joints
from motiongpt3_jax.inference.lengths import LONGEST_SECONDS
from motiongpt3_jax.inference.windows import Windows, cut_into_windows
from motiongpt3_jax.motion.blending import blend_motions
from motiongpt3_jax.systems.interface import Question

STRETCH = 1.25
"""How many times as long as its training clips a motion may be before it comes in windows."""


def frame_limits(engine: Engine) -> tuple[int, int]:
    """Shortest and longest motion that can be asked for, in frames."""
    return engine.frames[0], round(LONGEST_SECONDS * engine.folder.statistics.fps)


def choose_windows(engine: Engine, frames: int) -> Windows:
    """The windows of a motion of so many frames: one, unless it is much longer than the model's training clips.

    Raises:
      UserError: it is longer or shorter than can be asked for.
    """
    low, most = frame_limits(engine)
    if not frames and engine.answers.capabilities.ends_motions:
        return Windows(1, 0, 0)
    if not low <= frames <= most:
        raise UserError(
            f"{frames} frames were asked for; this model makes {low} to {most}, "
            f"{low / engine.folder.statistics.fps:g} to {LONGEST_SECONDS:g} s"
        )
    if frames <= min(STRETCH * engine.window_length, engine.frames[1]):
        return Windows(1, frames, 0)
    return cut_into_windows(frames, engine.window_length, engine.folder.statistics.fps)


def generate_in_windows(
    engine: Engine,
    questions: Sequence[Question],
    frames: Sequence[int],
    windows: Sequence[Windows],
    seeds: Sequence[int],
    options: Any,
) -> list[Joints]:
    """Joints of one motion per question; all windows of all motions are answered together, in batches.

    Args:
      engine: the model.
      questions: what each motion shows.
      frames: how long each motion is.
      windows: of each motion.
      seeds: of each motion; that of its first window.
      options: how to sample, see `Answers.motion_options`.
    """
    places = [(i, number) for i, window in enumerate(windows) for number in range(window.count)]
    joints = engine.generate_motions(
        [questions[i] for i, _ in places],
        [windows[i].frames for i, _ in places],
        [seed_of(seeds[i], number) for i, number in places],
        options,
    )
    pieces: list[list[np.ndarray]] = [[] for _ in questions]
    for (i, _), piece in zip(places, joints):
        pieces[i].append(piece)
    skeleton = engine.folder.statistics.skeleton
    return [
        piece[0] if len(piece) == 1 else blend_motions(piece, count, window.overlap, skeleton)
        for piece, count, window in zip(pieces, frames, windows)
    ]
