"""Overlapping windows of a motion that is longer than the model makes at once."""

from typing import NamedTuple

OVERLAP = 1.0
"""Seconds over which one window goes over into the next."""

SPARE = 0.5
"""Seconds by which windows are longer than needed, so that each can begin where it fits."""


class Windows(NamedTuple):
    """The windows of one motion.

    Attributes:
      count: how many.
      frames: of each.
      overlap: frames over which one goes over into the next.
    """

    count: int
    frames: int
    overlap: int


def cut_into_windows(frames: int, at_once: int, fps: float) -> Windows:
    """Fewest overlapping windows of equal length that cover a motion of so many frames.

    Args:
      frames: of the whole motion.
      at_once: the longest window.
      fps: frames in a second.
    """
    if frames <= at_once:
        return Windows(1, frames, 0)
    overlap = min(round(OVERLAP * fps), at_once // 3)
    joint = overlap + min(round(SPARE * fps), at_once // 6)
    count = -(-(frames - joint) // (at_once - joint))
    return Windows(count, -(-(frames + (count - 1) * joint) // count), overlap)
