"""Action accuracy: the share of motions and captions that show their labels, measured by the rule-based reader.

Procedural captions come from parameters, so what a motion should show is known exactly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.evaluation.reader import matches, read, read_caption

Joints = Float[np.ndarray, "frames joints 3"]
Labels = dict[str, Any]


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of some answers, by action.

    Attributes:
      right: whether each one is right.
      actions: the (first) action that each one should show.
    """

    right: tuple[bool, ...]
    actions: tuple[str, ...]

    @property
    def share_right(self) -> float:
        """Accuracy: share of the right ones."""
        return sum(self.right) / max(len(self.right), 1)

    def report(self) -> dict[str, Any]:
        """The accuracy, the count, and both of each action, for a report."""
        answers: dict[str, list[bool]] = {}
        for action, right in sorted(zip(self.actions, self.right)):
            answers.setdefault(action, []).append(right)
        return {
            "share_right": round(self.share_right, 4),
            "count": len(self.right),
            "by_action": {action: round(sum(right) / len(right), 3) for action, right in answers.items()},
            "counts": {action: len(right) for action, right in answers.items()},
        }


def motion_accuracy(joints: Sequence[Joints], labels: Sequence[Labels]) -> Accuracy:
    """Accuracy of motions: whether each shows its labels' actions in order, with their directions and sides."""
    right = tuple(bool(matches(read(motion), label)) for motion, label in zip(joints, labels))
    return Accuracy(right, _actions(labels))


def side_accuracy(joints: Sequence[Joints], labels: Sequence[Labels]) -> Accuracy:
    """Accuracy of left and right: whether each motion shows its labels' sides, whatever else it shows."""
    right = tuple(_sides(label) <= _sides(read(motion).label()) for motion, label in zip(joints, labels))
    return Accuracy(right, _actions(labels))


def caption_accuracy(captions: Sequence[str], labels: Sequence[Labels]) -> Accuracy:
    """Accuracy of captions: whether each names its labels' actions and sides, in order, and nothing else."""
    right = tuple(matches(read_caption(caption), label, exact=True) for caption, label in zip(captions, labels))
    return Accuracy(right, _actions(labels))


def has_side(labels: Labels) -> bool:
    """Whether labels have a left or right: of a limb, or as the direction."""
    return bool(_sides(labels))


def mirror_labels(labels: Labels) -> Labels:
    """Labels of the mirrored motion: left and right exchanged."""
    return {"actions": [_mirror_action(action) for action in labels["actions"]]}


def _mirror_action(action: dict[str, Any]) -> dict[str, Any]:
    other = {"left": "right", "right": "left"}
    return {name: other[value] if value in ("left", "right") else value for name, value in action.items()}


def _sides(labels: Labels) -> set[tuple[str, str]]:
    """(action, left or right) of every action that has one."""
    values = [(action["action"], action.get(key)) for action in labels["actions"] for key in ("side", "direction")]
    return {(action, value) for action, value in values if value in ("left", "right")}


def _actions(labels: Sequence[Labels]) -> tuple[str, ...]:
    return tuple(label["actions"][0]["action"] for label in labels)


def table(shares: dict[str, Accuracy], describe: Callable[[str], str] = str) -> str:
    """The shares as lines of text."""
    width = max(len(describe(name)) for name in shares)
    return "\n".join(
        f"{describe(name):<{width}}  {100 * share.share_right:5.1f} % of {len(share.right)}"
        for name, share in shares.items()
    )
