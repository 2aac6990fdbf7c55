"""Questions that share rows, and where they lie there."""

import numpy as np
import pytest

from motiongpt3_jax.batch import Example, RowShape, Schema, Slots
from motiongpt3_jax.data_pipelines.packing import build
from motiongpt3_jax.inference.packed_questions import one_a_row, pack_questions, places_of

NOTHING = Schema()


def question(number, **lengths):
    """A question with so many slots in each stream, whose ids tell it from others."""
    return Example(
        number,
        {
            name: Slots(100 * number + np.arange(count), np.arange(count), np.ones(count, bool))
            for name, count in lengths.items()
        },
    )


def some(*lengths):
    return [question(number, text=count, motion=2 + number % 2) for number, count in enumerate(lengths)]


LENGTHS = (9, 60, 31, 17, 44, 12, 25, 38, 51, 20)


def test_every_question_is_in_one_row_and_all_fit_in_fewer_slots():
    questions = some(*LENGTHS)
    packed, apart = pack_questions(questions, 16, NOTHING), one_a_row(questions, 16)
    assert sorted(i for row in packed.rows for i in row) == list(range(len(questions)))
    for row in packed.rows:
        assert len(row) <= packed.samples
        for name, slots in packed.slots.items():
            assert sum(len(questions[i].streams[name].ids) for i in row) <= slots
    sizes = [len(layout.rows) * sum(layout.slots.values()) for layout in (packed, apart)]
    assert sizes[0] < 0.5 * sizes[1]


@pytest.mark.parametrize("lengths", [(9,), (128, 127, 126, 128), (64, 64)], ids=str)
def test_questions_that_fill_their_rows_keep_them(lengths):
    assert pack_questions(some(*lengths), len(lengths), NOTHING) is None


def test_places_lead_to_each_questions_own_slots_and_rows_beyond_repeat_the_first():
    questions, rows = some(*LENGTHS), 16
    packed = pack_questions(questions, rows, NOTHING)
    shape = RowShape(tuple(packed.slots.items()), (), packed.samples)
    batch = build([[questions[i] for i in row] for row in packed.rows], None, shape, NOTHING, 1)
    places = places_of(packed, questions, batch, rows)
    for name, stream in batch.streams.items():
        assert places.slots[name].shape == (rows, {"text": 64, "motion": 4}[name])
        for row, there in enumerate(places.slots[name]):
            asked = questions[row if row < len(questions) else 0]
            np.testing.assert_array_equal(stream.ids.ravel()[there[there >= 0]], asked.streams[name].ids)
    numbers = batch.samples.ravel()[places.samples]
    assert numbers.tolist() == [*range(len(questions)), *[0] * (rows - len(questions))]


def test_a_question_without_streams_has_its_row():
    assert pack_questions([Example(0), Example(1)], 4, NOTHING) is None
