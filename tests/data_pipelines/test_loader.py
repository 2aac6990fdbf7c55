import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from motiongpt3_jax.batch import ClipRange, Example, RowShape, Sample, Schema, Slots
from motiongpt3_jax.data_pipelines import sharded_order
from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.data_pipelines.loader import ORDERS, Loader, LoaderOptions, StageData, find_samples
from motiongpt3_jax.data_pipelines.sharded_order import count_shards

SHAPE = RowShape((("text", 8),), clips=((40, 4),), samples=4)


class Letters:
    """As many text slots as the caption has letters; the whole clip."""

    schema = Schema()

    def __call__(self, samples: list[Sample]) -> list[Example]:
        return [
            Example(
                number=s.number,
                streams={"text": Slots(*(np.arange(len(s.caption)),) * 2, np.ones(len(s.caption), bool))},
                clips=tuple(ClipRange(0, s.frames, person) for person in range(s.persons)),
            )
            for s in samples
        ]


def loader(clips: int = 23, rows_here: Sequence[int] | None = None, version: int = 3, **options) -> Loader:
    source = [
        Clip(f"clip{i}", np.full((20 + i % 17, 2), i, np.float32), ("a" * (1 + i % 3), "b" * (2 + i % 2)))
        for i in range(clips)
    ]
    subtasks = (("t2m", 1.0), ("m2t", 1.0))
    chosen = LoaderOptions(seed=3, rows=2, shape=SHAPE, subtasks=subtasks, shuffle=True, crop=True, workers=0)
    return Loader(
        source=source,
        lengths=[len(c.features) for c in source],
        captions=[c.captions for c in source],
        mean=np.zeros(2, np.float32),
        std=np.full(2, 2.0, np.float32),
        layout=Letters(),
        options=replace(chosen, **options),
        rows=rows_here,
        version=version,
    )


def epoch_of(data, epoch):
    """The batches of an epoch."""
    return [data.batch(step) for step in range(epoch * data.steps_per_epoch, (epoch + 1) * data.steps_per_epoch)]


def chosen(data, epoch):
    """Numbers of the samples of an epoch."""
    return data.order.visits.order(epoch)


@pytest.fixture
def small_shards(monkeypatch):
    """As many shards as the rows of a batch divide into, however few the samples."""
    monkeypatch.setattr(sharded_order, "SHARD", 8)


def assert_equal(a, b):
    import jax

    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("version", ORDERS)
@pytest.mark.parametrize("rows", [1, 8, 64])
@pytest.mark.parametrize("subtasks", [(("t2m", 1.0), ("m2t", 1.0)), (("t2m", 1.0), ("m2t", 0.3))])
def test_every_sample_of_every_epoch_comes_once_whatever_the_rows(rows, subtasks, version, small_shards):
    data = loader(clips=60, rows=rows, subtasks=subtasks, version=version)
    for epoch in range(4):
        batches = [batch.samples for batch in epoch_of(data, epoch)]
        assert {batch.shape for batch in batches} == {(rows, 4)}
        seen = sorted(n for n in np.ravel(batches) if n >= 0)
        assert seen == sorted(chosen(data, epoch))


@pytest.mark.parametrize("version", ORDERS)
def test_empty_rows_are_dealt_evenly_over_an_epoch(version):
    data = loader(clips=60, rows=8, version=version)
    filled = [(batch.samples >= 0).any(1).sum() for batch in epoch_of(data, 0)]
    assert max(filled) - min(filled) <= 1


@pytest.mark.parametrize("version", ORDERS)
def test_an_epoch_has_room_for_whatever_the_draws_of_later_ones_add(version):
    for seed in range(6):
        data = loader(clips=200, rows=1, seed=seed, subtasks=(("t2m", 1.0), ("m2t", 0.3)), version=version)
        for epoch in range(12):
            data.batch(epoch * data.steps_per_epoch)


@pytest.mark.parametrize("version", ORDERS)
def test_an_epoch_of_equal_samples_has_no_more_batches_than_they_fill(version):
    one = replace(SHAPE, samples=1)
    data = loader(clips=30, rows=8, shape=one, subtasks=(("t2m", 1.0),), version=version)
    assert data.steps_per_epoch == 4  # of 30 rows


def test_shards_of_equal_samples_have_room_where_these_do_not_divide(small_shards):
    data = loader(clips=33, rows=4, shape=replace(SHAPE, samples=1), subtasks=(("t2m", 1.0),))
    assert (data.order.shards, data.steps_per_epoch) == (4, 9)
    samples = np.ravel([batch.samples for batch in epoch_of(data, 0)])
    assert sorted(samples[samples >= 0]) == list(range(33))


@pytest.mark.parametrize("version", ORDERS)
def test_an_epoch_that_finds_no_room_is_an_error(version):
    data = loader(clips=60, rows=1, version=version)
    data.order.__dict__["steps_per_epoch"] = 3  # as if the first epoch had taken three rows
    with pytest.raises(ValueError, match=r"epoch 1 takes .* rows and its 3 batches of 1 rows hold 3"):
        data.batch(3)


@pytest.mark.parametrize("version", ORDERS)
def test_order_differs_between_epochs_and_seeds_and_is_the_same_for_one(version):
    def samples(epoch, **options):
        return np.stack([batch.samples for batch in epoch_of(loader(version=version, **options), epoch)])

    np.testing.assert_array_equal(samples(0), samples(0))
    assert not np.array_equal(samples(0), samples(1))
    assert not np.array_equal(samples(0), samples(0, seed=4))


@pytest.mark.parametrize("version", ORDERS)
def test_without_shuffling_the_sub_tasks_of_a_clip_lie_side_by_side(version, small_shards):
    data = loader(shuffle=False, shape=replace(SHAPE, samples=1), rows=4, version=version)
    samples = np.ravel([batch.samples for batch in epoch_of(data, 0)])
    np.testing.assert_array_equal(samples[samples >= 0], range(46))


def test_the_order_of_older_runs_stays_what_it_was():
    data = loader(clips=60, rows=4, subtasks=(("t2m", 1.0), ("m2t", 0.3)), version=2)
    assert data.steps_per_epoch == 8
    first = [[56, 98, 64, -1], [10, 46, 96, -1], [103, 111, 66, 6], [-1, -1, -1, -1]]
    np.testing.assert_array_equal(data.batch(8).samples, first)
    assert digest(data.batch(step) for step in range(0, 24, 2)) == "79d65b24365c5808"
    assert digest(batch.samples for batch in data.first_batches(3)) == "44aa414a2a65c4d7"


def test_the_order_of_new_runs_stays_what_it_is(small_shards):
    data = loader(clips=60, rows=4, subtasks=(("t2m", 1.0), ("m2t", 0.3)))
    assert digest(data.batch(step) for step in range(0, 24, 2)) == "84d424e4e8f580d6"


def digest(batches):
    """SHA-256 of all arrays of some batches."""
    import jax

    return hashlib.sha256(b"".join(x.tobytes() for x in jax.tree.leaves(list(batches)))).hexdigest()[:16]


@pytest.mark.parametrize("count", [2, 4])
def test_the_order_is_the_same_on_any_number_of_processes(count, small_shards):
    whole = loader(clips=60, rows=4)
    parts = [loader(clips=60, rows=4, rows_here=np.split(np.arange(4), count)[i].tolist()) for i in range(count)]
    for step in range(2 * whole.steps_per_epoch):
        together = np.concatenate([part.batch(step).samples for part in parts])
        np.testing.assert_array_equal(together, whole.batch(step).samples)


def test_a_process_plans_only_the_shards_of_its_rows(small_shards, monkeypatch):
    planned = []
    plan = sharded_order.ShardedOrder.plan
    monkeypatch.setattr(sharded_order.ShardedOrder, "plan", lambda self, *of: planned.append(of) or plan(self, *of))
    data = loader(clips=60, rows=8, rows_here=[5, 4])
    assert data.order.shards == 8
    for _ in epoch_of(data, 1):
        pass
    assert {shard for epoch, shard in planned if epoch == 1} == {4, 5}
    assert {shard for _, shard in planned} <= {4, 5}
    assert len(planned) == len(set(planned))


def test_an_epoch_is_planned_while_the_one_before_is_read():
    data = loader(clips=60)
    data.batch(0)
    data.batch(1)
    (key,) = [key for key in data.order._plans if key[0] == 1]
    assert data.order._plans[key].result(timeout=60)[0].rows


def test_shards_divide_the_rows_of_a_batch_and_are_large():
    assert [count_shards(327_376, rows) for rows in (1, 6, 7, 8, 64, 100)] == [1, 6, 7, 8, 8, 5]
    assert count_shards(23_384, 64) == 1
    assert count_shards(10**9, 64) == 64


@pytest.mark.parametrize("version", ORDERS)
def test_reading_ahead_from_any_step_equals_a_run_without_a_stop(version):
    ahead = loader(version=version).batches(0)
    whole = [next(ahead) for _ in range(2 * loader(version=version).steps_per_epoch + 2)]
    for start in (1, 5, len(whole) - 2):
        resumed = loader(version=version).batches(start)
        for batch in whole[start : start + 3]:
            assert_equal(next(resumed), batch)


@pytest.mark.parametrize("here", [[0, 1], [2, 3], [0, 3], [0, 1, 2, 3]])
def test_a_process_loads_the_rows_that_it_is_told(here):
    whole, part = (loader(rows=4, rows_here=rows).batch(3) for rows in (None, here))
    np.testing.assert_array_equal(part.samples, whole.samples[here])
    np.testing.assert_array_equal(part.clips[0], whole.clips[0][here])


@pytest.mark.parametrize("version", ORDERS)
def test_features_are_normalised_and_cropped_as_the_draws_say(version):
    data = loader(version=version)
    table, rows = data.order.batch_rows(0, [0])
    batch, place = data.batch(0), rows[0][0]
    clip, frames = table.clips[place], table.frames[place]
    np.testing.assert_array_equal(batch.clips[0][0, 0, :frames], np.full((frames, 2), clip / 2))
    assert not batch.clips[0][0, 0, frames:].any()
    assert batch.clip_frames[0, 0] == frames


def test_a_third_of_the_samples_are_cut_to_multiples_of_four():
    data = loader(clips=300)
    table = data.order.table(0, 0)
    lengths = np.array(data.lengths)[table.clips]
    cut = table.frames != lengths
    assert not (table.frames[cut] % 4).any()
    assert (table.starts + table.frames <= lengths).all()
    assert 0.2 < cut.mean() < 0.4
    assert len({*table.starts[cut]}) > 3


def test_every_sample_has_a_number_for_further_draws():
    data = loader(clips=300)
    draws = np.concatenate([data.order.table(epoch, 0).draws for epoch in (0, 1)])
    assert len({*draws}) == 1200
    assert 0 <= min(draws) < 0.01
    assert 0.99 < max(draws) < 1
    assert np.mean(draws) == pytest.approx(0.5, abs=0.05)


def test_draws_of_any_places_are_those_of_the_whole_epoch():
    visits = loader().order.visits
    whole = visits.draws(1, 0, 40)
    for start, stop in ((0, 1), (7, 30), (39, 40)):
        np.testing.assert_array_equal(visits.draws(1, start, stop), whole[start:stop])


def test_a_fractional_visit_is_a_chance():
    share = len(chosen(loader(clips=500, subtasks=(("t2m", 1.0), ("m2t", 0.3))), 0)) / 500
    assert share == pytest.approx(1.3, abs=0.1)


def test_samples_are_named_by_clip_and_sub_task():
    assert loader().describe([0, 3, -1]) == ["clip0 (t2m)", "clip1 (m2t)"]


@pytest.mark.parametrize("version", ORDERS)
def test_validation_is_the_same_every_time_and_sees_each_sample_once_without_an_empty_batch(version):
    data = StageData(loader(version=version), loader(clips=4, version=version), validation_batches=100)
    assert data.order == version
    seen = [batch.samples for batch in data.validation()]
    assert sorted(number for batch in seen for number in batch.ravel() if number >= 0) == list(range(8))
    assert all((batch >= 0).any() for batch in seen)
    for a, b in zip(data.validation(), data.validation()):
        assert_equal(a, b)


@pytest.mark.slow
def test_worker_processes_give_the_same_batches():
    data = loader(workers=3)
    ahead = data.batches(5)
    for step in range(5, 12):
        assert_equal(next(ahead), data.batch(step))


@pytest.mark.parametrize("version", ORDERS)
@pytest.mark.parametrize("rows", [1, 4])
def test_samples_that_are_left_out_never_come_and_all_others_come_where_they_did(version, rows, small_shards):
    data = loader(rows=rows, version=version)
    names = data.describe(chosen(data, 0)[:3])
    ids, subtasks = [clip.id for clip in data.source], [name for name, _ in data.options.subtasks]
    fewer = replace(data, left_out=find_samples(names, ids, subtasks))
    left_out = [*chosen(data, 0)[:3]]
    assert fewer.left_out == {*left_out}
    for before, after in zip(epoch_of(data, 0) + epoch_of(data, 1), epoch_of(fewer, 0) + epoch_of(fewer, 1)):
        for row, fewer_row in zip(before.samples, after.samples):
            assert [n for n in row if n >= 0 and n not in left_out] == [n for n in fewer_row if n >= 0]
        assert_equal(before.samples.shape, after.samples.shape)


def test_a_clip_is_left_out_whole_a_sample_alone_and_one_that_is_not_there_is_refused():
    ids, subtasks = ["a", "b (2)", "c"], ["t2m", "m2t"]
    assert find_samples(["b (2)"], ids, subtasks) == {2, 3}
    assert find_samples(["b (2) (m2t)", "c (other stage's)"], ids, subtasks) == {3}
    assert loader().left_out == frozenset()
    for unknown in ("d", "d (t2m)", "a (b"):
        with pytest.raises(ValueError, match=r"data.leave_out names 'd|data.leave_out names 'a \(b'"):
            find_samples([unknown], ids, subtasks)


def test_clips_of_several_people_are_cropped_at_their_end_alone():
    single = loader(clips=40)
    people = replace(single, extras=[(2, {"place": (0.0, 0.0, 1.0)})] * 40)
    tables = [
        data.order.visits.tabulate(np.arange(80), np.random.default_rng(0).random((80, 8))) for data in (single, people)
    ]
    np.testing.assert_array_equal(tables[0].frames, tables[1].frames)
    assert tables[0].starts.any()
    assert not tables[1].starts.any()
