"""Dead peers: of several processes, those that are left end soon, with one sentence and a status of their own.

What dies is noticed by whoever comes first: a collective that fails (`JaxRuntimeError`), or the heartbeat of JAX's
coordination service. The service then aborts the process from a thread of its own, and a Python program that merely
raised would wait in its exit for the process that is gone; so both ends go through `os._exit` here.
"""

import ctypes
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import jax

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.no_room import NoRoomError
from motiongpt3_jax.statuses import FAILED, PEER_LOST, WRONG_INPUT

AGAIN = "Start all of them again: the same command continues from the last checkpoint."
"""What to do when processes have ended."""

FAILED_RUNTIME = re.compile("(UNKNOWN|INTERNAL|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE_EXCEEDED|FAILED_PRECONDITION): ")
"""How the message of a collective begins that failed in the first call of a program: that is a ValueError."""

_KEPT: list[object] = []
"""What C holds a pointer to."""

_ENDING: list[int] = []
"""The status with which this process ends already, by an error of its own."""


@contextmanager
def exit_on_peer_failure() -> Iterator[None]:
    """Of several processes, one whose devices fail ends at once, with a sentence and the status `PEER_LOST`.

    Mostly another process died. Python's own end would wait for it, and JAX would end that with a dump of stacks. One
    that has no room left ends at once too, as the others will not come to where it would wait for them.
    """
    try:
        yield
    except Exception as error:
        if jax.process_count() == 1:
            raise
        if isinstance(error, NoRoomError):
            leave(WRONG_INPUT, f"{who()}: {error}")
        failed = isinstance(error, ValueError) and FAILED_RUNTIME.match(str(error))
        if failed or isinstance(error, jax.errors.JaxRuntimeError):
            leave(PEER_LOST, _sentence(who(), str(error).splitlines()[0]))
        _ENDING.append(getattr(error, "status", WRONG_INPUT if isinstance(error, UserError | OSError) else FAILED))
        raise


def leave(status: int, sentence: str) -> None:
    """Ends this process at once, without waiting for the others."""
    sys.stdout.flush()
    print(sentence, file=sys.stderr, flush=True)
    os._exit(status)


def who() -> str:
    """Names this process among the others."""
    return f"process {jax.process_index()} of {jax.process_count()}"


def exit_where_the_runtime_aborts() -> None:
    """An abort from a thread of JAX's, as when the first process is gone, ends with the sentence and status too.

    JAX tells nobody before it. An abort of the main thread is no peer's and stays what it is.
    """

    def aborted(number: int) -> None:
        if threading.get_ident() == threading.main_thread().ident:
            signal.signal(number, signal.SIG_DFL)
            return
        if _ENDING:  # with a sentence of its own; the others did not come to the same end
            os._exit(_ENDING[0])
        # No stream of Python's: another thread may hold its lock.
        os.write(2, f"{_sentence('this process', 'JAX ended it, see above')}\n".encode())
        os._exit(PEER_LOST)

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(aborted)
    _KEPT.append(handler)
    # Python's own handlers run in the main thread, which an abort does not wait for.
    ctypes.CDLL(None).signal(signal.SIGABRT, handler)


def _sentence(name: str, reason: str) -> str:
    return (
        f"{name} cannot go on ({reason}). Unless this names a fault of its own, another process died: look at the "
        f"others' output. {AGAIN}"
    )
