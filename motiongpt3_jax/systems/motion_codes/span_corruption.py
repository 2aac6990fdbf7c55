"""T5's span corruption: spans of a sequence are replaced by sentinels, and the spans are what is to be written."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.motion_codes.pieces import Piece, plain


def random_spans(draws: np.random.Generator, length: int, density: float, span: float) -> Bool[np.ndarray, "length"]:
    """Which ids of a sequence are hidden: random spans, the last of which ends the sequence.

    Args:
      draws: decides where the spans lie.
      length: ids of the sequence.
      density: share of them that is hidden.
      span: mean length of a span.
    """
    hidden, spans = count_spans(length, density, span)
    if length < 2:
        return np.ones(length, bool)
    lengths = np.stack([_partition(draws, length - hidden, spans), _partition(draws, hidden, spans)], axis=1)
    return np.repeat(np.arange(2 * spans) % 2 == 1, lengths.ravel())


def count_spans(length: int, density: float, span: float) -> tuple[int, int]:
    """(ids that are hidden, spans that they are in) of a sequence, see `random_spans`."""
    if length < 2:
        return length, length
    hidden = min(max(round(length * density), 1), length - 1)
    return hidden, min(max(round(hidden / span), 1), hidden, length - hidden)


def _partition(draws: np.random.Generator, total: int, parts: int) -> Int[np.ndarray, "parts"]:
    """Random whole numbers above 0 with a sum; every way to choose them is as likely."""
    cuts = np.sort(draws.permutation(total - 1)[: parts - 1]) + 1
    return np.diff(np.concatenate([[0], cuts, [total]]))


def corrupt(piece: Piece, hidden: Bool[np.ndarray, "slots"], sentinels: Sequence[int]) -> tuple[Piece, Piece]:
    """What is left of a sequence, with a sentinel in place of each hidden span; and the spans behind their sentinels.

    Raises:
      UserError: there are more spans than sentinels.
    """
    begins = hidden & ~np.concatenate([[False], hidden[:-1]])
    count = int(begins.sum())
    if count > len(sentinels):
        raise UserError(
            f"span corruption needs {count} sentinels and the tokenizer has {len(sentinels)} (<extra_id_0> and on): "
            "take T5's tokenizer, or switch the corruption off"
        )
    marks = plain(sentinels[:count])
    places = np.flatnonzero(begins)
    return _with_marks(piece, ~hidden, places, marks), _with_marks(piece, hidden, places, marks)


def _with_marks(piece: Piece, kept: Bool[np.ndarray, "slots"], places: Int[np.ndarray, "spans"], marks: Piece) -> Piece:
    """The kept slots, with a mark before each place."""
    before = np.cumsum(np.concatenate([[0], kept]))[places]
    left = piece.cut(kept)
    ids = np.insert(left.ids, before, marks.ids)
    return Piece(ids, np.insert(left.sources, before, marks.sources, axis=0))
