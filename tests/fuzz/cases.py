"""Broken input by the hundreds: how a case is run, and what is wrong with the way in which it ended.

A case may be refused, with one sentence that names what is wrong, or taken. It may not end in any error but a
ValueError or an OSError, not run on without an end, not leave files behind when it is refused, and not be taken when
its maker knows that it is wrong.
"""

import contextlib
import io
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from motiongpt3_jax.__main__ import main

SECONDS = 20.0
"""Most computing time of a case, far more than any takes; whoever waits may do so for `PATIENCE` times as long."""

PATIENCE = 6


class TooSlow(BaseException):
    """A case that did not end in time; no handler of the code under test catches it."""


@dataclass(frozen=True)
class Case:
    """One broken input.

    Attributes:
      name: what it is; with the seed of its test it can be made again.
      run: tries it: a command line for `main`, or a function of the library.
      named: words of which the refusal must hold one: the file, the flag, the key.
      wrong: whether it must be refused; None where some of its kind are right.
    """

    name: str
    run: Sequence[str] | Callable[[], object]
    named: tuple[str, ...] = ()
    wrong: bool | None = None


@dataclass
class Tally:
    """How many cases were tried, and how they ended.

    Attributes:
      taken, refused: cases that ended well.
      faults: a text for each case that did not.
    """

    taken: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """All cases."""
        return self.taken + self.refused + len(self.faults)

    def __str__(self) -> str:
        return f"{self.count} cases: {self.refused} refused, {self.taken} taken, {len(self.faults)} faults"


def generator(seed: int, number: int) -> np.random.Generator:
    """The random numbers of one case, whatever cases come before it."""
    return np.random.default_rng((seed, number))


def try_all(cases: Iterable[Case], folder: Path, seconds: float = SECONDS) -> Tally:
    """Runs every case; `folder` is where refused ones must leave nothing.

    Raises:
      AssertionError: some ended badly, or there was no case.
    """
    tally = Tally()
    for case in cases:
        _try(case, folder, seconds, tally)
    print(tally)
    assert tally.count, "no case was tried"
    # What has no UTF-8 cannot go from a worker to who prints it.
    shown = "\n\n".join(tally.faults[:20]).encode("ascii", "backslashreplace").decode()
    assert not tally.faults, f"{tally}\n\n{shown}"
    return tally


def _try(case: Case, folder: Path, seconds: float, tally: Tally) -> None:
    before = content(folder)
    try:
        with time_limit(seconds):
            said = _refusal(case.run)
    except TooSlow:
        tally.faults.append(f"{case.name}: not over after {seconds:g} s")
    except BaseException as error:  # what the code under test should have said in a sentence
        if isinstance(error, KeyboardInterrupt):
            raise
        shown = "".join(traceback.format_exception(error)[-4:])
        tally.faults.append(f"{case.name}: a traceback, not a sentence\n{shown}")
    else:
        if said is None and case.wrong:
            tally.faults.append(f"{case.name}: was taken")
        elif said is None:
            tally.taken += 1
        elif fault := _fault(case, said, before, content(folder)):
            tally.faults.append(f"{case.name}: {fault}; it said: {said}")
        else:
            tally.refused += 1


def _fault(case: Case, said: str, before: dict[str, tuple], after: dict[str, tuple]) -> str | None:
    """What is wrong with a refusal."""
    if not said.strip() or "Traceback" in said:
        return "says nothing" if not said.strip() else "a traceback"
    if case.named and not any(word in said for word in case.named):
        return f"names none of {', '.join(case.named)}"
    if case.wrong is False:
        return "was refused"
    left = sorted(name for name in after if after[name] != before.get(name)) + sorted(before.keys() - after.keys())
    return f"changed {', '.join(left[:3])}" if left else None


def _refusal(run: Sequence[str] | Callable[[], object]) -> str | None:
    """What a refused case said; None when it was taken."""
    if callable(run):
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                run()
        except (ValueError, OSError) as error:
            return str(error)
        return None
    status, said = command(*run)
    if status not in (0, 2):
        raise AssertionError(f"exit status {status}; it said: {said}")
    return None if status == 0 else said


def command(*arguments: str) -> tuple[int, str]:
    """(exit status, standard error) of a command line; wrong flags end it as they end a process."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
    return status, error.getvalue()


def content(folder: Path) -> dict[str, tuple]:
    """Size and time of every file and folder below a folder."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(root, name)
            about = os.lstat(path)
            # The time of a folder changes with what is looked up in it for a moment.
            found[path] = (about.st_size, about.st_mtime_ns) if name in files else ()
    return found


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises TooSlow when the block computes or waits for too long; in the main thread, where tests run.

    A machine that others keep busy makes no case a slow one: their time is not counted as computing.
    """

    def stop(signum: int, frame: object) -> None:
        raise TooSlow

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, seconds), signal.SIGALRM: (signal.ITIMER_REAL, PATIENCE * seconds)}
    previous = {name: signal.signal(name, stop) for name in timers}
    for timer, limit in timers.values():
        signal.setitimer(timer, limit)
    began = time.process_time()
    try:
        yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        for name, handler in previous.items():
            signal.signal(name, handler)
    if time.process_time() - began > 2 * seconds:  # a library that does not let signals in
        raise TooSlow
