"""What share of motions and captions show or say what was asked: measured by the rule-based reader.

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
class Share:
    """How many of some answers are right.

    Attributes:
      right: whether each one is.
      actions: the (first) action that each one should show.
    """

    right: tuple[bool, ...]
    actions: tuple[str, ...]

    @property
    def share_right(self) -> float:
        """Share of the right ones."""
        return sum(self.right) / max(len(self.right), 1)

    def report(self) -> dict[str, Any]:
        """The share, the count, and both of each action, for a report."""
        found: dict[str, list[bool]] = {}
        for action, right in sorted(zip(self.actions, self.right)):
            found.setdefault(action, []).append(right)
        by_action = {action: round(sum(rights) / len(rights), 3) for action, rights in found.items()}
        counts = {action: len(rights) for action, rights in found.items()}
        return {
            "share_right": round(self.share_right, 4),
            "count": len(self.right),
            "by_action": by_action,
            "counts": counts,
        }


def motions_shown(joints: Sequence[Joints], labels: Sequence[Labels]) -> Share:
    """Whether each motion shows the asked actions in order, with their directions and sides."""
    right = tuple(bool(matches(read(motion), asked)) for motion, asked in zip(joints, labels))
    return Share(right, _actions(labels))


def sides_shown(joints: Sequence[Joints], labels: Sequence[Labels]) -> Share:
    """Whether each motion shows the asked actions with the asked left or right, whatever else it shows."""
    right = tuple(_sided(asked) <= _sided(read(motion).label()) for motion, asked in zip(joints, labels))
    return Share(right, _actions(labels))


def captions_right(captions: Sequence[str], labels: Sequence[Labels]) -> Share:
    """Whether each caption names the shown actions with their directions and sides, in order, and nothing else."""
    right = tuple(matches(read_caption(caption), asked, exact=True) for caption, asked in zip(captions, labels))
    return Share(right, _actions(labels))


def names_side(labels: Labels) -> bool:
    """Whether left or right is asked for: of a limb, or as the direction."""
    return bool(_sided(labels))


def mirror_labels(labels: Labels) -> Labels:
    """What the mirrored motion shows: left and right exchanged."""
    other = {"left": "right", "right": "left"}
    return {
        "actions": [
            {name: other.get(value, value) if isinstance(value, str) else value for name, value in action.items()}
            for action in labels["actions"]
        ]
    }


def _sided(labels: Labels) -> set[tuple[str, str]]:
    """(action, left or right) of every action that has one."""
    found = ((action["action"], action.get(of)) for action in labels["actions"] for of in ("side", "direction"))
    return {(action, value) for action, value in found if value in ("left", "right")}


def _actions(labels: Sequence[Labels]) -> tuple[str, ...]:
    return tuple(label["actions"][0]["action"] for label in labels)


def table(shares: dict[str, Share], describe: Callable[[str], str] = str) -> str:
    """The shares as lines of text."""
    width = max(len(describe(name)) for name in shares)
    return "\n".join(
        f"{describe(name):<{width}}  {100 * share.share_right:5.1f} % of {len(share.right)}"
        for name, share in shares.items()
    )
