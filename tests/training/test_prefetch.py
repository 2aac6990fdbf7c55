import threading
import time
from collections.abc import Iterator

import pytest

from motiongpt3_jax.training.prefetch import Prefetch


class Source:
    """Counts what was read, and whether it was closed."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count, self.error, self.read, self.closed = count, error, 0, threading.Event()

    def __iter__(self) -> Iterator[int]:
        try:
            for number in range(self.count):
                self.read = number + 1
                yield number
            if self.error:
                raise self.error
        finally:
            self.closed.set()


def wait_until(condition) -> None:
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def test_items_come_in_their_order_prepared_in_one_thread_of_their_own():
    threads = set()

    def prepare(number: int) -> int:
        threads.add(threading.current_thread())
        return number**2

    items = Prefetch(iter(Source(50)), prepare, 2)
    assert list(items) == [number**2 for number in range(50)]
    assert list(items) == []
    items.close()
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_no_more_than_the_asked_number_of_items_is_read_ahead():
    source = Source(100)
    items = Prefetch(iter(source), lambda number: number, 2)
    for read in (2, 3, 4):
        wait_until(lambda read=read: source.read == read)
        time.sleep(0.05)
        assert source.read == read
        next(items)
    items.close()


@pytest.mark.parametrize("where", ["read", "prepare"])
def test_an_error_comes_at_its_place_behind_what_was_read_before(where):
    def prepare(number: int) -> int:
        if where == "prepare" and number == 3:
            raise OSError("disk is gone")
        return number

    items = Prefetch(iter(Source(3 if where == "read" else 9, OSError("disk is gone"))), prepare, 2)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="disk is gone"):
        next(items)
    with pytest.raises(StopIteration):
        next(items)
    items.close()


def test_closing_ends_the_thread_and_closes_what_it_read_from():
    source = Source(100)
    items = Prefetch(iter(source), lambda number: number, 2)
    next(items)
    items.close()
    assert source.closed.is_set()
    assert source.read <= 4
    assert not any(thread.name == "prefetch" for thread in threading.enumerate())
    with pytest.raises(StopIteration):
        next(items)
    items.close()


def test_closing_waits_for_an_item_that_is_being_read_but_not_without_end(monkeypatch):
    monkeypatch.setattr("motiongpt3_jax.training.prefetch.PATIENCE", 0.05)
    goes_on = threading.Event()
    items = Prefetch(iter(goes_on.wait, True), lambda number: number, 2)
    began = time.monotonic()
    items.close()
    assert time.monotonic() - began < 5
    goes_on.set()
