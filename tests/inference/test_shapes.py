import pytest

from motiongpt3_jax.inference.shapes import ROWS, chunks, filled, slots, up


@pytest.mark.parametrize("count", [1, 2, 5, 17, 33, 40, 200, 400, 1000])
def test_every_request_is_in_one_batch_and_no_batch_is_mostly_empty(count):
    found = chunks(count)
    assert [i for requests, _ in found for i in requests] == list(range(count))
    assert all(len(requests) <= rows and rows in ROWS for requests, rows in found)
    assert sum(rows for _, rows in found) <= max(count / 0.5, 1)


def test_sizes_go_up_to_the_next_step_but_not_over_the_limit():
    assert [up(1, 32), up(32, 32), up(33, 32), up(193, 32, 196)] == [32, 32, 64, 196]


def test_rows_beyond_the_requests_repeat_the_first():
    assert filled([7, 8], 4).tolist() == [7, 8, 7, 7]


def test_text_slots_are_few_sizes_that_hold_the_text():
    sizes = [slots(count) for count in range(1, 300)]
    assert all(size >= count for count, size in enumerate(sizes, 1))
    assert len(set(sizes)) == 11
    assert slots(0) == 0
