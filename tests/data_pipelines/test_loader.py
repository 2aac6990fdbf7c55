from dataclasses import replace

import numpy as np
import pytest

from motiongpt3_jax.batch import Example, Sample, Slots
from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.data_pipelines.loader import Loader, LoaderOptions, StageData
from motiongpt3_jax.data_pipelines.packing import RowShape

SHAPE = RowShape(slots=(("text", 8),), clips=((40, 4),), outputs=0, samples=4)


def layout(samples: list[Sample]) -> list[Example]:
    """As many text slots as the caption has letters; the whole clip."""
    return [
        Example(
            number=s.number,
            streams={"text": Slots(*(np.arange(len(s.caption)),) * 2, np.ones(len(s.caption), bool))},
            targets=np.zeros(len(s.caption), np.int32),
            weights=np.ones(len(s.caption), np.float32),
            clips=((0, s.frames),),
        )
        for s in samples
    ]


def loader(clips: int = 23, process: tuple[int, int] = (0, 1), **options) -> Loader:
    source = [
        Clip(f"clip{i}", np.full((20 + i % 17, 2), i, np.float32), ("a" * (1 + i % 3), "b" * (2 + i % 2)))
        for i in range(clips)
    ]
    chosen = LoaderOptions(seed=3, rows=2, shape=SHAPE, subtasks=(("t2m", 1.0), ("m2t", 1.0)))
    return Loader(
        source=source,
        lengths=[len(c.features) for c in source],
        captions=[c.captions for c in source],
        mean=np.zeros(2, np.float32),
        std=np.full(2, 2.0, np.float32),
        layout=layout,
        options=replace(chosen, **options),
        process=process,
    )


def assert_equal(a, b):
    import jax

    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_every_sample_of_an_epoch_comes_once():
    rows = loader().plan(0)
    assert sorted(n for row in rows for n in row) == list(range(46))


def test_order_differs_between_epochs_and_seeds_and_is_the_same_for_one():
    assert loader().plan(0) == loader().plan(0)
    assert loader().plan(0) != loader().plan(1)
    assert loader().plan(0) != loader(seed=4).plan(0)


def test_without_shuffling_the_sub_tasks_of_a_clip_lie_side_by_side():
    np.testing.assert_array_equal(loader(shuffle=False).numbers(0)[:4], [0, 1, 2, 3])


def test_reading_ahead_from_a_step_equals_asking_for_that_step():
    data = loader()
    ahead = data.batches(5)
    for step in (5, 6, 7):
        assert_equal(next(ahead), data.batch(step))


def test_processes_share_the_rows_of_each_batch():
    whole = loader().batch(3)
    halves = [loader(process=(i, 2)).batch(3) for i in range(2)]
    np.testing.assert_array_equal(whole.samples, np.concatenate([h.samples for h in halves]))
    np.testing.assert_array_equal(whole.clips[0], np.concatenate([h.clips[0] for h in halves]))


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


def test_a_fractional_visit_is_a_chance():
    share = len(loader(clips=500, subtasks=(("t2m", 1.0), ("m2t", 0.3))).numbers(0)) / 500
    assert share == pytest.approx(1.3, abs=0.1)


def test_samples_are_named_by_clip_and_sub_task():
    assert loader().describe([0, 3, -1]) == ["clip0 (t2m)", "clip1 (m2t)"]


def test_validation_is_the_same_every_time_and_no_longer_than_the_split():
    data = StageData(loader(), loader(clips=4), validation_batches=100)
    assert len(list(data.validation())) == data.held_out.steps_per_epoch
    for a, b in zip(data.validation(), data.validation()):
        assert_equal(a, b)


@pytest.mark.slow
def test_worker_processes_give_the_same_batches():
    data = loader(workers=1)
    ahead = data.batches(5)
    for step in (5, 6):
        assert_equal(next(ahead), data.batch(step))
