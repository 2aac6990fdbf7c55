"""Signal handling (Ctrl-C, SIGTERM, preemption): the loop asks after each step whether to save and stop."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from types import FrameType, TracebackType
from typing import Any

import jax
from jax.experimental import multihost_utils

from motiongpt3_jax.statuses import CONTINUES

_CALLS = count(1)
"""Numbers the questions whether to stop, from 1: JAX's coordination takes 0 for a number that is agreed on."""


AGAIN = 0.1
"""Seconds after which a SIGTERM that a callback swallowed is sent again."""


class TrainingInterrupted(RuntimeError):
    """Training stopped because it was asked to; everything up to its last step is saved."""

    status = CONTINUES


class _Terminated(BaseException):
    """SIGTERM came; no Exception, which some code on the way takes for an error of its own."""


@contextmanager
def stop_at_sigterm() -> Iterator[None]:
    """SIGTERM raises TrainingInterrupted, as Ctrl-C raises KeyboardInterrupt: for what surrounds the steps.

    `Interrupts` and, of several processes, JAX put their own handlers in its place while they watch. JAX's stays where
    the processes have met already: it tells the others.
    """
    if threading.current_thread() is not threading.main_thread() or jax.distributed.is_initialized():
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        with _swallowed_comes_again():
            yield
    except _Terminated:
        raise TrainingInterrupted("SIGTERM: stopped; the same command continues.") from None
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _swallowed_comes_again() -> Iterator[None]:
    """Python drops what is raised in `__del__` and in callbacks of weak references: then SIGTERM is sent once more."""
    usual, timers = sys.unraisablehook, []

    def hook(unraisable: Any) -> None:
        if unraisable.exc_type is not _Terminated:
            return usual(unraisable)
        # Later: what a hook raises is dropped as well.
        timers.append(threading.Timer(AGAIN, os.kill, (os.getpid(), signal.SIGTERM)))
        return timers[-1].start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual
        for timer in timers:
            timer.cancel()


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise _Terminated


class Interrupts:
    """While it is entered, the first signal is remembered and a second Ctrl-C stops at once.

    With several processes, signals go through JAX's coordination, which agrees on one step for all of them.
    """

    def __init__(self) -> None:
        self._received: str | None = None
        self._before: dict[int, object] = {}

    def stop_reason(self) -> str | None:
        """What asks for an end here, if anything does; the same in every process, each of which calls it as often."""
        if jax.process_count() > 1:
            # Not the step, which begins anew with each stage: processes agree on a number that is still to come.
            return "SIGTERM" if multihost_utils.reached_preemption_sync_point(next(_CALLS)) else None
        return self._received

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if jax.process_count() > 1:
            os.kill(os.getpid(), signal.SIGTERM)  # JAX watches for it and tells the others
        self._received = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Not print: a signal may come in the middle of one.
        os.write(2, f"{self._received}: finishing the step and saving; Ctrl-C stops at once.\n".encode())

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            watched = [signal.SIGINT] if jax.process_count() > 1 else [signal.SIGINT, signal.SIGTERM]
            self._before = {number: signal.signal(number, self._handle) for number in watched}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
