"""Prefetch in a thread: items of an iterator are read and prepared (put on devices) ahead, in their order."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

PATIENCE = 30.0
"""Seconds that an end waits for an item that is being read."""


class Prefetch(Generic[T, U]):
    """An iterator over `prepare(item)` of every item, at most some items ahead, made in a thread of its own.

    What reading or preparing raises, comes at its place in the order. `close` ends the thread, which closes the items.

    Args:
      items: what is read; nothing else reads it from now on.
      prepare: called in the thread.
      ahead: prepared items that may wait.
    """

    def __init__(self, items: Iterator[T], prepare: Callable[[T], U], ahead: int) -> None:
        self._items, self._prepare = items, prepare
        self._room, self._ready = threading.Semaphore(ahead), queue.SimpleQueue()
        self._closed, self._ended = False, False
        self._thread = threading.Thread(target=self._read, name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> "Prefetch[T, U]":
        return self

    def __next__(self) -> U:
        if self._ended:
            raise StopIteration
        item, error = self._ready.get()
        self._room.release()
        if error is not None:
            self._ended = True
            raise error
        return item

    def close(self) -> None:
        """Ends the thread; an item that is being read is waited for, though not without end."""
        self._closed = self._ended = True
        self._room.release()
        self._thread.join(PATIENCE)

    def _read(self) -> None:
        try:
            while self._room.acquire() and not self._closed:
                self._ready.put((self._prepare(next(self._items)), None))
        except BaseException as error:  # the end of the items too: StopIteration
            self._ready.put((None, error))
        finally:
            if hasattr(self._items, "close"):
                self._items.close()
