import pytest

from motiongpt3_jax.inference.shapes import ROWS, pad_to_rows, round_up, slot_count, split_into_batches


@pytest.mark.parametrize("count", [1, 2, 5, 17, 33, 40, 200, 400, 1000])
def test_every_request_is_in_one_batch_and_no_batch_is_mostly_empty(count):
    batches = split_into_batches(count)
    assert [i for requests, _ in batches for i in requests] == list(range(count))
    assert all(len(requests) <= rows and rows in ROWS for requests, rows in batches)
    assert sum(rows for _, rows in batches) <= max(count / 0.5, 1)


def test_sizes_go_up_to_the_next_step_but_not_over_the_limit():
    assert [round_up(1, 32), round_up(32, 32), round_up(33, 32), round_up(193, 32, 196)] == [32, 32, 64, 196]


def test_rows_beyond_the_requests_repeat_the_first():
    assert pad_to_rows([7, 8], 4).tolist() == [7, 8, 7, 7]


def test_text_slots_are_few_sizes_that_hold_the_text():
    sizes = [slot_count(count) for count in range(1, 300)]
    assert all(size >= count for count, size in enumerate(sizes, 1))
    assert len(set(sizes)) == 15
    assert slot_count(0) == 0
