"""Span corruption: what is hidden, and that source and target together are the whole."""

import numpy as np
import pytest

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.motion_codes.pieces import Piece, plain
from motiongpt3_jax.systems.motion_codes.span_corruption import corrupt, random_spans

SENTINELS = range(999, 899, -1)


def restored(source, target):
    """The sequence, each sentinel of the source replaced by what stands behind it in the target."""
    spans, key = {}, None
    for slot in target:
        if slot[0] in SENTINELS:
            spans[key := slot[0]] = []
        else:
            spans[key].append(slot)
    return [slot for whole in source for slot in (spans[whole[0]] if whole[0] in SENTINELS else [whole])]


def slots(piece):
    return [(int(i), *map(int, source)) for i, source in zip(piece.ids, piece.sources)]


@pytest.mark.parametrize("length", [1, 2, 3, 7, 20, 21, 100, 256])
def test_sentinels_stand_for_the_spans_that_follow_them(length):
    piece = Piece(np.arange(length), np.stack([np.arange(length), np.arange(length) + 5], axis=1))
    for seed in range(20):
        hidden = random_spans(np.random.default_rng(seed), length, 0.15, 3.0)
        source, target = corrupt(piece, hidden, SENTINELS)
        assert restored(slots(source), slots(target)) == slots(piece)
        assert [i for i in target.ids if i in SENTINELS] == [*SENTINELS][: sum(i in SENTINELS for i in source.ids)]


def test_as_much_is_hidden_as_asked_for_in_spans_of_the_mean_length():
    masks = [random_spans(np.random.default_rng(seed), 100, 0.15, 3.0) for seed in range(200)]
    begins = [int((mask & ~np.append(False, mask[:-1])).sum()) for mask in masks]
    assert {int(mask.sum()) for mask in masks} == {15}
    assert {*begins} == {5}
    # Every place but the first can be hidden, and those in the middle are so alike.
    share = np.mean(masks, axis=0)
    assert share[0] == 0
    assert share[1:].min() > 0
    assert abs(share[20:80].mean() - 0.15) < 0.03


def test_spans_have_every_length():
    lengths = [
        np.diff(np.flatnonzero(np.diff(np.concatenate([[0], mask, [0]]))))[::2]
        for mask in (random_spans(np.random.default_rng(seed), 60, 0.15, 3.0) for seed in range(300))
    ]
    assert {*np.concatenate(lengths).tolist()} == {1, 2, 3, 4, 5, 6, 7}


def test_too_few_sentinels_are_refused():
    with pytest.raises(UserError, match="needs 2 sentinels and the tokenizer has 1"):
        corrupt(plain(range(4)), np.array([True, False, True, False]), (99,))
