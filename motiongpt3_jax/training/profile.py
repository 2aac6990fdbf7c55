"""jax.profiler traces of a few steps of each stage, for XProf."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import jax

from motiongpt3_jax.training.stage import Stage

SKIPPED = 5
"""Steps before a trace: the first one compiles, and the next ones fill what is read and prepared ahead."""

TRACED = 5
"""Steps of a trace."""


def traced_steps(done: int, steps: int) -> range:
    """The steps of a stage that are traced: its last ones where few are left, and never the one that compiles."""
    first = done + 1 + max(min(SKIPPED, steps - done - TRACED), 1)
    return range(first, min(first + TRACED, steps + 1))


class Profile:
    """A trace of some steps of one stage, written to FOLDER/STAGE by the first process.

    A context that writes what there is when the steps end early.

    Args:
      folder: where traces go; None traces nothing.
      stage: the stage.
      done: its steps that are done.
      say: where it is said.
    """

    def __init__(self, folder: Path | None, stage: Stage, done: int, say: Callable[[str], None]) -> None:
        self._say, self._traces = say, folder is not None and jax.process_index() == 0
        self._steps, self._runs = traced_steps(done, stage.steps), False
        if not self._traces:
            return
        self._stage, self._folder = stage.name, Path(folder) / stage.name
        if not self._steps:
            say(f"{self._stage} has one step left, which compiles: it is not traced")

    def before(self, step: int, settle: Callable[[], None]) -> None:
        """Starts the trace where it begins with this step; `settle` waits for the steps before."""
        if self._traces and self._steps and step == self._steps[0]:
            settle()
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # calls of Python functions slow the steps and fill the trace
            jax.profiler.start_trace(self._folder, profiler_options=options)
            self._runs = True

    def after(self, step: int, settle: Callable[[], None]) -> None:
        """Writes the trace where it ends with this step; `settle` waits for the steps until here."""
        if self._runs and step == self._steps[-1]:
            settle()
            self._write(step)

    def _write(self, last: int) -> None:
        self._runs = False
        jax.profiler.stop_trace()
        self._say(f"{self._stage}: trace of steps {self._steps[0]} to {last} in {self._folder}; see it with XProf")

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._runs:
            self._runs = False
            jax.profiler.stop_trace()
