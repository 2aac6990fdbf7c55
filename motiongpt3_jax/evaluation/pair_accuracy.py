"""Accuracy of what two people do: action, who does it to whom, direction, side and distance, by the pair reader."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.evaluation.accuracy import Accuracy, Labels
from motiongpt3_jax.evaluation.reader import pair_matches, read_pair, read_pair_caption

Pair = Float[np.ndarray, "2 frames joints 3"]


def pair_motion_accuracy(pairs: Sequence[Pair], labels: Sequence[Labels]) -> Accuracy:
    """Accuracy of motions of two people: whether each shows its label, in every respect, and nothing else."""
    right = tuple(pair_matches(read_pair(pair), label) for pair, label in zip(pairs, labels))
    return Accuracy(right, _actions(labels))


def role_accuracy(pairs: Sequence[Pair], labels: Sequence[Labels]) -> Accuracy:
    """Accuracy of roles: whether the one who should does it to the other, whatever else is seen.

    Args:
      pairs: both people, in one world.
      labels: of actions that one does to the other, see `has_roles`.
    """
    shown = [[segment.who for segment in read_pair(pair).actions] for pair in pairs]
    right = tuple(who == [action["who"] for action in label["actions"]] for who, label in zip(shown, labels))
    return Accuracy(right, _actions(labels))


def pair_caption_accuracy(captions: Sequence[str], labels: Sequence[Labels]) -> Accuracy:
    """Accuracy of captions: whether each says its label in every respect; "one ... the other" fits either person."""
    right = tuple(pair_matches(read_pair_caption(caption), label) for caption, label in zip(captions, labels))
    return Accuracy(right, _actions(labels))


def has_roles(labels: Labels) -> bool:
    """Whether one person does something to the other."""
    return any(action["who"] != "both" for action in labels["actions"])


def _actions(labels: Sequence[Labels]) -> tuple[str, ...]:
    return tuple(label["actions"][0]["action"] for label in labels)
