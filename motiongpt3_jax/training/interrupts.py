"""Signal handling (Ctrl-C, SIGTERM, preemption): the loop asks after each step whether to save and stop."""

import os
import signal
import threading
from types import FrameType, TracebackType

import jax
from jax.experimental import multihost_utils


class TrainingInterrupted(RuntimeError):
    """Training stopped because it was asked to; everything up to its last step is saved."""


class Interrupts:
    """While it is entered, the first signal is remembered and a second Ctrl-C stops at once.

    With several processes, signals go through JAX's coordination, which agrees on one step for all of them.
    """

    def __init__(self) -> None:
        self._received: str | None = None
        self._before: dict[int, object] = {}

    def at(self, step: int) -> str | None:
        """What asks for an end after this step, if anything does; the same in every process."""
        if jax.process_count() > 1:
            return "SIGTERM" if multihost_utils.reached_preemption_sync_point(step) else None
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
