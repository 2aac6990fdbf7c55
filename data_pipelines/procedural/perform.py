"""Animate moves: from their parameters to joints."""

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.data_pipelines.procedural import body
from motiongpt3_jax.data_pipelines.procedural.actions import ACTIONS
from motiongpt3_jax.data_pipelines.procedural.move import Move
from motiongpt3_jax.data_pipelines.procedural.score import Score, Stance, Style, lower_pelvis


def perform(moves: list[Move], frames: list[int], style: Style, rest: int = 0) -> Float[np.ndarray, "frames 22 3"]:
    """Animate some moves in a row: joints from the origin, facing +z, at 20 fps.

    Args:
      moves: what to do.
      frames: how long each move takes.
      style: how to do it.
      rest: frames to stay as one is at the end.
    """
    stance, parts = Stance(), []
    for move, count in zip(moves, frames):
        score = Score(count, stance, style)
        ACTIONS[move.action].perform(score, move)
        parts.append(score.controls)
        stance = score.stance
    controls = body.concatenate(parts)
    lower_pelvis(controls)
    joints = body.pose(controls)
    return np.concatenate([joints, joints[-1:].repeat(rest, axis=0)]) if rest else joints
