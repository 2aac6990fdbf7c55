"""Recognised actions, and whether they match labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class InteractionSegment:
    """One thing that two people do together; what a sentence or motion does not tell is None.

    Attributes:
      action: its name.
      who: "first" or "second", which of the two does it to the other; or "both".
      direction: e.g. "toward", "clockwise".
      side: the hand, arm or side, "left", "right" or "both": of the one who does it.
      distance: "close" or "far".
      start: frame (of a sentence: character) at which it begins.
      stop: the one at which it ends.
    """

    action: str
    who: str | None = None
    direction: str | None = None
    side: str | None = None
    distance: str | None = None
    start: int = 0
    stop: int = 0

    @property
    def key(self) -> tuple[str | None, ...]:
        """Action, who, direction, side and distance."""
        return self.action, self.who, self.direction, self.side, self.distance


@dataclass(frozen=True)
class PairReading:
    """What two people do together, in order; nothing where nothing was recognised."""

    actions: tuple[InteractionSegment, ...] = ()

    def label(self) -> dict[str, list[dict[str, Any]]]:
        """The reading in the form of a clip's labels."""
        return {"actions": [{key: getattr(segment, key) for key in PAIR_KEYS} for segment in self.actions]}


def pair_matches(
    reading: PairReading, labels: Mapping[str, Sequence[Mapping[str, Any]]], *, roles: bool = True
) -> bool:
    """Whether what two people do is what the labels say, with who, direction, side and distance, and nothing else.

    Args:
      reading: of a motion or a sentence. One that does not say which of them, "one person ... the other", fits either.
      labels: what should be there, {"actions": [{"action", "who", "direction", "side", "distance", ...}, ...]}.
      roles: False takes either person for the other.
    """
    labelled = [InteractionSegment(*(action.get(key) for key in PAIR_KEYS)) for action in labels["actions"]]
    if len(labelled) != len(reading.actions):
        return False
    return all(_agree(shown, label, roles) for shown, label in zip(reading.actions, labelled))


PAIR_KEYS = ("action", "who", "direction", "side", "distance")
"""What a reading and labels of two people are compared by."""


def _agree(shown: InteractionSegment, label: InteractionSegment, roles: bool) -> bool:
    same = replace(shown, who=None).key == replace(label, who=None).key
    if shown.who is None or not roles:
        return same and (shown.who == "both") == (label.who == "both")
    return same and shown.who == label.who
