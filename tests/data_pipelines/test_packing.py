import numpy as np
import pytest

from motiongpt3_jax.batch import ClipRange, Example, Field, RowShape, Schema, Slots
from motiongpt3_jax.data_pipelines.packing import Size, build, pack, useful

SHAPE = RowShape((("words", 6), ("moves", 4)), clips=((3, 1), (5, 2)), samples=3, capacities=(("goals", 2),))
SCHEMA = Schema(
    targets=("words",),
    sources=("moves",),
    fields=(
        Field("goal_slots", "goals", (2,), counts="moves"),
        Field("goal_clip", "goals", empty=-1, counts="clips"),
        Field("lost"),
    ),
)


def slots(*ids, **more):
    count = len(ids)
    return Slots(np.array(ids, np.int32), np.arange(count, dtype=np.int32), np.ones(count, bool), **more)


def example(number, words, moves, clips, sources=None, goals=()):
    sources = np.array(sources or [(-1, 0)] * len(moves), np.int32).reshape(-1, 2)
    targets = {"targets": np.arange(len(words), dtype=np.int32), "weights": np.ones(len(words), np.float32)}
    return Example(
        number=number,
        streams={"words": slots(*words, **targets), "moves": slots(*moves, sources=sources)},
        clips=tuple(ClipRange(*clip) for clip in clips),
        extra={
            "goal_slots": np.array([own for own, _ in goals], np.int32).reshape(-1, 2),
            "goal_clip": np.array([clip for _, clip in goals], np.int32),
            "lost": 1,
        },
    )


def test_a_row_closes_when_any_cap_is_full():
    by_slots = [Size((3, 0), (), (0,))] * 3
    by_clips = [Size((1, 0), (2,), (0,))] * 4
    by_entries = [Size((1, 0), (), (1,))] * 3
    by_samples = [Size((1, 0), (), (0,))] * 4
    for sizes in (by_slots, by_clips, by_entries, by_samples):
        rows = pack(sizes, SHAPE)
        assert len(rows) == 2
        assert sorted(n for row in rows for n in row) == list(range(len(sizes)))


def test_a_small_sample_fills_the_gap_of_an_earlier_row():
    sizes = [Size((5, 0), (), (0,)), Size((5, 0), (), (0,)), Size((1, 0), (), (0,))]
    assert pack(sizes, SHAPE) == [[0, 2], [1]]


def test_a_sample_larger_than_a_row_is_named():
    with pytest.raises(ValueError, match="sample 1 of the epoch takes"):
        pack([Size((1, 0), (), (0,)), Size((7, 0), (), (0,))], SHAPE)
    with pytest.raises(ValueError, match="sample 0 of the epoch takes"):
        pack([Size((1, 0), (6,), (0,))], SHAPE)


def test_a_short_clip_takes_a_longer_bucket_when_its_own_is_full():
    assert pack([Size((1, 0), (3, 3, 4), (0,))], SHAPE) == [[0]]


def test_packed_samples_keep_their_own_clips_slots_and_seeds():
    motions = {7: np.full((5, 2), 7.0), 9: np.full((5, 2), 9.0)}
    first = example(7, [1, 2], [3], ((0, 4),), [(0, 1)])
    second = example(9, [4], [5, 6], ((0, 3), (1, 5)), [(-1, 0), (1, 0)], ((((0, 1)), 0),))
    batch = build([[first, second]], lambda number, _: motions[number], SHAPE, SCHEMA, 2)
    np.testing.assert_array_equal(batch.streams["words"].ids[0], [1, 2, 4, 0, 0, 0])
    np.testing.assert_array_equal(batch.streams["words"].segments[0], [1, 1, 2, 0, 0, 0])
    np.testing.assert_array_equal(batch.streams["words"].positions[0], [0, 1, 0, 0, 0, 0])
    # buckets: clip 0 holds up to 3 frames, clips 1 and 2 up to 5; sample 7 needs 4 frames, sample 9 needs 3 and 4
    np.testing.assert_array_equal(batch.clip_frames[0], [3, 4, 4])
    np.testing.assert_array_equal(batch.clips[0][0, 0], np.full((3, 2), 9.0))
    np.testing.assert_array_equal(batch.clips[1][0, 0, :, 0], [7, 7, 7, 7, 0])
    np.testing.assert_array_equal(batch.streams["moves"].sources[0], [(1, 1), (-1, 0), (2, 0), (-1, 0)])
    np.testing.assert_array_equal(batch.extra["goal_slots"][0], [(1, 2), (0, 0)])
    np.testing.assert_array_equal(batch.extra["goal_clip"][0], [0, -1])
    np.testing.assert_array_equal(batch.clip_seeds[0], [9 * 8, 7 * 8, 9 * 8 + 1])
    np.testing.assert_array_equal(batch.samples[0], [7, 9, -1])
    np.testing.assert_array_equal(batch.extra["lost"], [2])


def test_a_second_persons_frames_fill_a_clip_of_its_own():
    motions = {0: np.zeros((4, 2)), 1: np.ones((4, 2))}
    both = example(2, [1], [], ((0, 4, 0), (1, 4, 1)))
    batch = build([[both]], lambda _, person: motions[person], SHAPE, SCHEMA, 2)
    np.testing.assert_array_equal(batch.clip_frames[0], [3, 4, 0])
    assert batch.clips[0][0, 0].all()
    assert not batch.clips[1].any()


def test_streams_without_targets_or_sources_have_none():
    batch = build([[example(0, [1], [2], ())]], lambda *_: None, SHAPE, SCHEMA, 2)
    assert batch.streams["moves"].targets is batch.streams["moves"].weights is batch.streams["words"].sources is None


def test_useful_shares_count_what_holds_something():
    batch = build([[example(0, [1, 2, 3], [1], ((0, 3),))]], lambda *_: np.ones((3, 2)), SHAPE, SCHEMA, 2)
    shares = useful(batch)
    assert shares["words_slots_used"] == pytest.approx(0.5)
    assert shares["moves_slots_used"] == pytest.approx(0.25)
    assert shares["frames_used"] == pytest.approx(3 / 13)
    assert shares["samples"] == 1
    assert shares["tokens"] == 4
