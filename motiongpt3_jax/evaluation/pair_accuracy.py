"""Accuracy of what two people do: action, who does it to whom, direction, side and distance, by the pair reader."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.evaluation.accuracy import Accuracy, Labels
from motiongpt3_jax.evaluation.reader import pair_matches, read_pair, read_pair_caption

Pair = Float[np.ndarray, "2 frames joints 3"]


def pair_motion_accuracy(
    pairs: Sequence[Pair], labels: Sequence[Labels], sentences: Sequence[str] | None = None
) -> Accuracy:
    """Accuracy of motions of two people: whether each shows its label, in every respect, and nothing else.

    Args:
      pairs: both people, in one world.
      labels: what they should do.
      sentences: from which they were made, where they were: one that does not say who does it to whom, "one person ...
        the other", is right with either.
    """
    told = [True] * len(labels) if sentences is None else [says_roles(sentence) for sentence in sentences]
    right = tuple(pair_matches(read_pair(pair), label, roles=roles) for pair, label, roles in zip(pairs, labels, told))
    return Accuracy(right, _actions(labels))


def role_accuracy(pairs: Sequence[Pair], labels: Sequence[Labels]) -> Accuracy:
    """Accuracy of roles: whether the one who should does it to the other, whatever else is seen.

    Args:
      pairs: both people, in one world.
      labels: of actions that one does to the other, see `has_roles`; of sentences, those that say it (`says_roles`).
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


def says_roles(sentence: str) -> bool:
    """Whether a sentence says which of the two does it, or that both do."""
    return all(segment.who is not None for segment in read_pair_caption(sentence).actions)


def _actions(labels: Sequence[Labels]) -> tuple[str, ...]:
    return tuple(label["actions"][0]["action"] for label in labels)
