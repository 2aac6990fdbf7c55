import numpy as np
import pytest

from motiongpt3_jax.batch import Example, Slots
from motiongpt3_jax.data_pipelines.packing import RowShape, Size, build, pack, useful

SHAPE = RowShape(slots=(("text", 6), ("motion", 4)), clips=((3, 1), (5, 2)), outputs=2, samples=3, holders=2)


def slots(*ids):
    count = len(ids)
    return Slots(np.array(ids, np.int32), np.arange(count, dtype=np.int32), np.ones(count, bool))


def example(number, text, motion, clips, inputs=None, outputs=()):
    return Example(
        number=number,
        streams={"text": slots(*text), "motion": slots(*motion)},
        targets=np.arange(len(text), dtype=np.int32),
        weights=np.ones(len(text), np.float32),
        clips=clips,
        inputs=np.array(inputs or [(-1, 0)] * len(motion), np.int32).reshape(-1, 2),
        outputs=outputs,
        blind=1,
    )


def test_a_row_closes_when_any_cap_is_full():
    by_slots = [Size((3, 0), (), 0)] * 3
    by_clips = [Size((1, 0), (2,), 0)] * 4
    by_outputs = [Size((1, 0), (), 1)] * 3
    by_samples = [Size((1, 0), (), 0)] * 4
    for sizes in (by_slots, by_clips, by_outputs, by_samples):
        rows = pack(sizes, SHAPE)
        assert len(rows) == 2
        assert sorted(n for row in rows for n in row) == list(range(len(sizes)))


def test_a_small_sample_fills_the_gap_of_an_earlier_row():
    sizes = [Size((5, 0), (), 0), Size((5, 0), (), 0), Size((1, 0), (), 0)]
    assert pack(sizes, SHAPE) == [[0, 2], [1]]


def test_a_sample_larger_than_a_row_is_named():
    with pytest.raises(ValueError, match="sample 1 of the epoch takes"):
        pack([Size((1, 0), (), 0), Size((7, 0), (), 0)], SHAPE)
    with pytest.raises(ValueError, match="sample 0 of the epoch takes"):
        pack([Size((1, 0), (6,), 0)], SHAPE)


def test_a_short_clip_takes_a_longer_bucket_when_its_own_is_full():
    assert pack([Size((1, 0), (3, 3, 4), 0)], SHAPE) == [[0]]


def test_packed_samples_keep_their_own_clips_slots_and_seeds():
    motions = {7: np.full((5, 2), 7.0), 9: np.full((5, 2), 9.0)}
    first = example(7, [1, 2], [3], ((0, 4),), [(0, 1)])
    second = example(9, [4], [5, 6], ((0, 3), (1, 5)), [(-1, 0), (1, 0)], ((((0, 1)), 0),))
    batch = build([[first, second]], motions.__getitem__, SHAPE, 2)
    np.testing.assert_array_equal(batch.streams["text"].ids[0], [1, 2, 4, 0, 0, 0])
    np.testing.assert_array_equal(batch.streams["text"].segments[0], [1, 1, 2, 0, 0, 0])
    np.testing.assert_array_equal(batch.streams["text"].positions[0], [0, 1, 0, 0, 0, 0])
    # buckets: clip 0 holds up to 3 frames, clips 1 and 2 up to 5; sample 7 needs 4 frames, sample 9 needs 3 and 4
    np.testing.assert_array_equal(batch.clip_frames[0], [3, 4, 4])
    np.testing.assert_array_equal(batch.clips[0][0, 0], np.full((3, 2), 9.0))
    np.testing.assert_array_equal(batch.clips[1][0, 0, :, 0], [7, 7, 7, 7, 0])
    np.testing.assert_array_equal(batch.inputs[0], [(1, 1), (-1, 0), (2, 0), (-1, 0)])
    np.testing.assert_array_equal(batch.outputs[0, 0], [1, 2])
    np.testing.assert_array_equal(batch.output_clip[0], [0, -1])
    np.testing.assert_array_equal(batch.clip_seeds[0], [9 * 8, 7 * 8, 9 * 8 + 1])
    np.testing.assert_array_equal(batch.samples[0], [7, 9, -1])
    assert batch.blind[0] == 2


def test_useful_shares_count_what_holds_something():
    batch = build([[example(0, [1, 2, 3], [1], ((0, 3),))]], lambda _: np.ones((3, 2)), SHAPE, 2)
    shares = useful(batch)
    assert shares["text_slots_used"] == pytest.approx(0.5)
    assert shares["motion_slots_used"] == pytest.approx(0.25)
    assert shares["frames_used"] == pytest.approx(3 / 13)
    assert shares["samples"] == 1
    assert shares["tokens"] == 4
