from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from motiongpt3_jax.batch import ClipRange, Example, RowShape, Sample, Schema, Slots
from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.data_pipelines.loader import Loader, LoaderOptions, Plan, StageData

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


def loader(clips: int = 23, rows_here: Sequence[int] | None = None, **options) -> Loader:
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
    )


def assert_equal(a, b):
    import jax

    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("rows", [1, 3, 8, 64])
@pytest.mark.parametrize("subtasks", [(("t2m", 1.0), ("m2t", 1.0)), (("t2m", 1.0), ("m2t", 0.3))])
def test_every_sample_of_every_epoch_comes_once_whatever_the_rows(rows, subtasks):
    data = loader(clips=60, rows=rows, subtasks=subtasks)
    for epoch in range(4):
        steps = range(epoch * data.steps_per_epoch, (epoch + 1) * data.steps_per_epoch)
        batches = [data.batch(step).samples for step in steps]
        assert {batch.shape for batch in batches} == {(rows, 4)}
        seen = sorted(n for n in np.ravel(batches) if n >= 0)
        assert seen == sorted(data.sample_order(epoch))


def test_empty_rows_are_dealt_evenly_over_an_epoch():
    data = loader(clips=60, rows=8)
    filled = [(data.batch(step).samples >= 0).any(1).sum() for step in range(data.steps_per_epoch)]
    assert max(filled) - min(filled) <= 1


def test_an_epoch_has_room_for_whatever_the_draws_of_later_ones_add():
    for seed in range(6):
        data = loader(clips=200, rows=1, seed=seed, subtasks=(("t2m", 1.0), ("m2t", 0.3)))
        assert max(len(data.plan(epoch).rows) for epoch in range(12)) <= data.steps_per_epoch


def test_an_epoch_of_equal_samples_has_no_more_batches_than_they_fill():
    one = replace(SHAPE, samples=1)
    assert loader(clips=30, rows=8, shape=one, subtasks=(("t2m", 1.0),)).steps_per_epoch == 4  # of 30 rows


def test_an_epoch_that_finds_no_room_is_an_error():
    data = loader(clips=60, rows=1)
    data._plans[0] = Plan([[0]] * 3, 0)  # as if the first epoch had taken three rows
    with pytest.raises(ValueError, match=r"epoch 1 takes .* rows and its 3 batches of 1 rows hold 3"):
        data.plan(1)


def test_order_differs_between_epochs_and_seeds_and_is_the_same_for_one():
    assert loader().plan(0) == loader().plan(0)
    assert loader().plan(0) != loader().plan(1)
    assert loader().plan(0) != loader(seed=4).plan(0)


def test_without_shuffling_the_sub_tasks_of_a_clip_lie_side_by_side():
    np.testing.assert_array_equal(loader(shuffle=False).sample_order(0)[:4], [0, 1, 2, 3])


def test_reading_ahead_from_a_step_equals_asking_for_that_step():
    data = loader()
    ahead = data.batches(5)
    for step in (5, 6, 7):
        assert_equal(next(ahead), data.batch(step))


@pytest.mark.parametrize("here", [[0, 1], [2, 3], [0, 3], [0, 1, 2, 3]])
def test_a_process_loads_the_rows_that_it_is_told(here):
    whole, part = (loader(rows=4, rows_here=rows).batch(3) for rows in (None, here))
    np.testing.assert_array_equal(part.samples, whole.samples[here])
    np.testing.assert_array_equal(part.clips[0], whole.clips[0][here])


def test_features_are_normalised_and_cropped_as_the_visit_says():
    data = loader()
    batch = data.batch(0)
    number = int(batch.samples[0, 0])
    visit = data.visit(0, number)
    np.testing.assert_array_equal(batch.clips[0][0, 0, : visit.sample.frames], visit.clip / 2)
    assert batch.clip_frames[0, 0] == visit.sample.frames


def test_a_third_of_the_visits_are_cut_to_multiples_of_four():
    data = loader(clips=300)
    visits = [data.visit(0, n) for n in range(600)]
    cut = [v for v in visits if v.sample.frames != data.lengths[v.clip]]
    assert all(v.sample.frames % 4 == 0 for v in cut)
    assert all(v.start + v.sample.frames <= data.lengths[v.clip] for v in visits)
    assert 0.2 < len(cut) / 600 < 0.4


def test_every_visit_has_a_number_for_further_draws():
    data = loader(clips=300)
    draws = [data.visit(epoch, number).sample.draw for epoch in (0, 1) for number in range(600)]
    assert len({*draws}) == 1200
    assert 0 <= min(draws) < 0.01
    assert 0.99 < max(draws) < 1
    assert np.mean(draws) == pytest.approx(0.5, abs=0.05)


def test_a_fractional_visit_is_a_chance():
    share = len(loader(clips=500, subtasks=(("t2m", 1.0), ("m2t", 0.3))).sample_order(0)) / 500
    assert share == pytest.approx(1.3, abs=0.1)


def test_samples_are_named_by_clip_and_sub_task():
    assert loader().describe([0, 3, -1]) == ["clip0 (t2m)", "clip1 (m2t)"]


def test_validation_is_the_same_every_time_and_sees_each_sample_once_without_an_empty_batch():
    data = StageData(loader(), loader(clips=4), validation_batches=100)
    seen = [batch.samples for batch in data.validation()]
    assert sorted(number for batch in seen for number in batch.ravel() if number >= 0) == list(range(8))
    assert all((batch >= 0).any() for batch in seen)
    for a, b in zip(data.validation(), data.validation()):
        assert_equal(a, b)


@pytest.mark.slow
def test_worker_processes_give_the_same_batches():
    data = loader(workers=1)
    ahead = data.batches(5)
    for step in (5, 6):
        assert_equal(next(ahead), data.batch(step))
