"""What a reading is, and whether it shows what was asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shown:
    """One action that a motion shows or a sentence names; what it does not tell is None.

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
    def what(self) -> tuple[str, str | None, str | None]:
        """Action, direction and side."""
        return self.action, self.direction, self.side


@dataclass(frozen=True)
class Reading:
    """The actions that were recognised, in order; none when nothing was."""

    actions: tuple[Shown, ...] = ()

    def label(self) -> dict[str, list[dict[str, Any]]]:
        """As the labels of a clip are written."""
        keys = ("action", "direction", "side", "count")
        return {"actions": [{key: getattr(shown, key) for key in keys} for shown in self.actions]}


def matches(reading: Reading, labels: Mapping[str, Sequence[Mapping[str, Any]]], *, exact: bool = False) -> bool:
    """Whether every asked action is there with its direction and side, in order.

    Args:
      reading: of a motion or a sentence.
      labels: what was asked, {"actions": [{"action", "direction", "side", ...}, ...]}.
      exact: whether nothing else may be there.
    """
    asked = [(action["action"], action.get("direction"), action.get("side")) for action in labels["actions"]]
    seen = [shown.what for shown in reading.actions]
    if exact:
        return seen == asked
    rest = iter(seen)
    return all(what in rest for what in asked)
