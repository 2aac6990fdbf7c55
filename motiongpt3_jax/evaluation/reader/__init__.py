"""Rule-based action recognition, in motions and in captions: which actions, not how well they are done."""

from motiongpt3_jax.evaluation.reader.motions import read
from motiongpt3_jax.evaluation.reader.reading import ActionSegment, Reading, matches
from motiongpt3_jax.evaluation.reader.sentences import read_caption

__all__ = ["ActionSegment", "Reading", "matches", "read", "read_caption"]
