"""A watchdog: of several processes, one in which no step ends for too long leaves, for a peer of it hangs.

A dead process is noticed by its heartbeat; one that lives and does nothing has all others wait in the next collective,
without end. What takes its time by right (compiling, validation, saving, pages of samples, what comes before the first
step) is announced to the others, and nobody's time counts meanwhile.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from motiongpt3_jax.parallel.peer_failure import AGAIN, leave, who
from motiongpt3_jax.statuses import PEER_LOST
from motiongpt3_jax.training.goodput import STEPS

LOOKS = 20
"""Looks in the time that is waited."""

LONGEST_LOOK = 10.0
"""Seconds between two looks at most, which is how late an announcement may come."""


class Board(Protocol):
    """Where processes announce what they are doing, see `parallel.announcements`."""

    def write(self, doing: str) -> None:
        """Announces what this process is doing."""

    def read(self) -> list[str]:
        """What each process announced last."""


class Watchdog:
    """Looks on from a thread while it is entered; without a board or a time-out it does nothing.

    Args:
      stage: name of the stage, for the sentence.
      step: steps that are done.
      timeout: seconds without a step; 0 waits without end.
      doing: the part of `Goodput` under way.
      board: where processes announce it; None of a single process.
      clock: seconds.
      end: ends the process with a status and a sentence.
    """

    def __init__(
        self,
        stage: str,
        step: int,
        timeout: float,
        doing: Callable[[], str],
        board: Board | None,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[int, str], None] = leave,
    ) -> None:
        self._stage, self._step, self._timeout, self._doing = stage, step, timeout, doing
        self._board, self._clock, self._end = board, clock, end
        self._since, self._closed = clock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def step(self, step: int) -> None:
        """Says that a step has ended."""
        self._step, self._since = step, self._clock()

    def look(self) -> None:
        """Announces what this process does, and ends it where its time is over."""
        doing = self._doing()
        self._board.write(doing)
        if doing not in STEPS:
            self._since = self._clock()
        if self._clock() - self._since < self._timeout:
            return
        if any(other not in STEPS for other in self._board.read()):
            self._since = self._clock()
            return
        self._end(
            PEER_LOST,
            f"{who()} cannot go on (no step of stage '{self._stage}' ended in {self._timeout:g} s after step "
            f"{self._step}, and no process compiles, validates or saves). Another process hangs, or "
            f"config.mesh.step_timeout is too short for these steps. {AGAIN}",
        )

    def _watch(self) -> None:
        while not self._closed.wait(min(self._timeout / LOOKS, LONGEST_LOOK)):
            self.look()

    def __enter__(self) -> "Watchdog":
        if self._board is not None and self._timeout:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()
            self._board.write(self._doing())
