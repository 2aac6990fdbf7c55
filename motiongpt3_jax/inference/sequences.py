"""One motion of several sentences, one after the other: codes joined and decoded at once, or motions stitched."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from motiongpt3_jax.inference.continuation import seed_of
from motiongpt3_jax.inference.engine import Engine, Joints
from motiongpt3_jax.inference.long_motions import choose_windows, generate_in_windows
from motiongpt3_jax.motion.ground_pose import ground_poses, move_to_pose
from motiongpt3_jax.motion.seams import acceleration_limit, join
from motiongpt3_jax.motion.skeleton import Skeleton
from motiongpt3_jax.systems.interface import Question

WHOLE = 4
"""Frames of pieces that follow each other are a multiple of this, for which a code stands."""


class SequenceOfMotions(NamedTuple):
    """A motion of several parts.

    Attributes:
      joints: of all of it, from the origin and facing +z.
      stops: the frame at which each part ends.
    """

    joints: Joints
    stops: list[int]


def generate_sequence(
    engine: Engine, questions: Sequence[Question], frames: Sequence[int], seed: int, options: Any
) -> SequenceOfMotions:
    """One motion whose parts answer the questions in their order.

    Where motions are codes, those of all parts follow each other and are decoded at once: the decoder sees both sides
    of a seam. Elsewhere each part is carried to where the one before ends, and bent so that it goes on smoothly.

    Args:
      engine: the model.
      questions: what each part shows.
      frames: how long each part is; 0 lets a model decide that ends its motions itself.
      seed: of the first part; the others have seeds made of it.
      options: how to sample, see `Answers.motion_options`.

    Raises:
      UserError: a part is longer or shorter than can be asked for.
    """
    seeds = [seed_of(seed, number) for number in range(len(questions))]
    windows = [choose_windows(engine, count) for count in frames]
    if engine.answers.capabilities.end_of_codes is None:
        parts = generate_in_windows(engine, questions, frames, windows, seeds, options)
        return stitch(parts, engine.folder.statistics.fps, engine.folder.statistics.skeleton)
    # A part that is longer than what is made at once follows itself.
    pieces = [
        (part, piece, seed_of(seeds[part], number))
        for part, (count, window) in enumerate(zip(frames, windows))
        for number, piece in enumerate(_cut(count, window.count))
    ]
    numbers, counts, piece_seeds = zip(*pieces)
    joints, ends = engine.generate_joined([questions[part] for part in numbers], counts, piece_seeds, options)
    stops = {part: end for part, end in zip(numbers, ends)}
    return SequenceOfMotions(joints, list(stops.values()))


def _cut(frames: int, count: int) -> list[int]:
    """Frames of as many pieces, each but the last of whole codes."""
    cuts = np.round(np.arange(1, count) * frames / count / WHOLE).astype(int) * WHOLE
    return np.diff([0, *cuts, frames]).tolist()


def stitch(parts: Sequence[Joints], fps: float, skeleton: Skeleton) -> SequenceOfMotions:
    """Concatenate motions: each is turned and carried to where the one before ends, and bent at the seam."""
    whole, stops = np.asarray(parts[0], np.float64), [len(parts[0])]
    for part in parts[1:]:
        part = np.asarray(part, np.float64)
        placed = move_to_pose(part, ground_poses(part[0], skeleton), ground_poses(whole[-1], skeleton))
        bent, _ = join(whole, placed, None, fps, acceleration_limit(whole, placed, fps=fps), skeleton)
        whole = np.concatenate([whole, bent])
        stops.append(len(whole))
    return SequenceOfMotions(whole, stops)
