"""Recognised actions, and whether they match labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ActionSegment:
    """One action that a motion shows or a sentence names, and where; what it does not tell is None.

    Attributes:
      action: name of the action.
      direction: e.g. "forward"; left and right are the performer's own.
      side: the limb, "left", "right" or "both".
      count: how many times.
      start: frame (of a sentence: character) at which it begins.
      stop: the one at which it ends.
    """

    action: str
    direction: str | None = None
    side: str | None = None
    count: int | None = None
    start: int = 0
    stop: int = 0

    @property
    def key(self) -> tuple[str, str | None, str | None]:
        """Action, direction and side."""
        return self.action, self.direction, self.side


@dataclass(frozen=True)
class Reading:
    """The actions that were recognised, in order; none when nothing was."""

    actions: tuple[ActionSegment, ...] = ()

    def label(self) -> dict[str, list[dict[str, Any]]]:
        """The reading in the form of a clip's labels."""
        keys = ("action", "direction", "side", "count")
        return {"actions": [{key: getattr(segment, key) for key in keys} for segment in self.actions]}


def matches(reading: Reading, labels: Mapping[str, Sequence[Mapping[str, Any]]], *, exact: bool = False) -> bool:
    """Whether every labelled action is there with its direction and side, in order (a subsequence match).

    Args:
      reading: of a motion or a sentence.
      labels: what should be there, {"actions": [{"action", "direction", "side", ...}, ...]}.
      exact: whether nothing else may be there.
    """
    labelled = [(action["action"], action.get("direction"), action.get("side")) for action in labels["actions"]]
    keys = [segment.key for segment in reading.actions]
    if exact:
        return keys == labelled
    rest = iter(keys)
    return all(key in rest for key in labelled)
