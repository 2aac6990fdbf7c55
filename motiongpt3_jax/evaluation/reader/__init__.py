"""Rule-based action recognition, in motions and in captions: which actions, not how well they are done."""

from motiongpt3_jax.evaluation.reader.motions import read
from motiongpt3_jax.evaluation.reader.pair_sentences import read_pair_caption
from motiongpt3_jax.evaluation.reader.pairs import read_pair
from motiongpt3_jax.evaluation.reader.reading import (
    ActionSegment,
    InteractionSegment,
    PairReading,
    Reading,
    matches,
    pair_matches,
)
from motiongpt3_jax.evaluation.reader.sentences import read_caption

__all__ = [
    "ActionSegment",
    "InteractionSegment",
    "PairReading",
    "Reading",
    "matches",
    "pair_matches",
    "read",
    "read_caption",
    "read_pair",
    "read_pair_caption",
]
