"""Metrics logging: progress lines, RUN/metrics.jsonl and TensorBoard."""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jax

from motiongpt3_jax.mirror import push, store_of
from motiongpt3_jax.training.event_file import EventFile
from motiongpt3_jax.training.goodput import shares_line
from motiongpt3_jax.training.stage import Stage

SHOWN = ("gradient_norm", "learning_rate")


class Meter:
    """Throughput and time left (ETA) from finished steps; the first is left out, as it is compiled on the way.

    Args:
      step: steps done.
      processes: rows of a global batch for each row of this process, whose share stands for every other's.
    """

    def __init__(self, step: int, processes: float = 1.0) -> None:
        self._processes = processes
        self._first: tuple[float, int] | None = None
        self._step = step
        self._clear()

    def add(self, step: int, useful: Mapping[str, float]) -> None:
        """Counts a finished step."""
        self._step = step
        if self._first is None:
            self._first = (time.perf_counter(), step)
            return self._clear()
        self._steps += 1
        for name, value in useful.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def take(self, steps: int) -> dict[str, float]:
        """Rates and shares since the last call, and seconds to the end of `steps`."""
        now = time.perf_counter()
        spent, counted, sums = now - self._since, self._steps, dict(self._sums)
        self._clear()
        if not counted or self._first is None:
            return {}
        per_second = self._processes / max(spent, 1e-9)
        rates = {f"{name}_per_second": sums.pop(name, 0.0) * per_second for name in ("samples", "tokens")}
        began, first = self._first
        left = (now - began) / max(self._step - first, 1) * (steps - self._step)
        return rates | {name: value / counted for name, value in sums.items()} | {"seconds_left": left}

    def _clear(self) -> None:
        self._since, self._steps, self._sums = time.perf_counter(), 0, {}


class Log:
    """Writes one stage's numbers; only the first process does.

    Args:
      run_dir: the run.
      stages: names of the run's stages in order.
      stage: the stage that begins or goes on.
      step: updates done; whatever an interrupted run wrote beyond them is taken back.
      show: where progress lines go.
      every: least seconds between two progress lines.
    """

    def __init__(
        self, run_dir: Path, stages: list[str], stage: Stage, step: int, show: Callable[[str], None], every: float
    ) -> None:
        self._stage, self._show, self._every, self._shown, self._begun = stage, show, every, 0.0, step
        self._first, self._run_dir = jax.process_index() == 0, run_dir
        if not self._first:
            return
        run_dir.mkdir(parents=True, exist_ok=True)
        path = run_dir / "metrics.jsonl"
        forget_after(path, stages, stage.name, step)
        self._file = path.open("a", encoding="utf-8")
        self._board = EventFile(run_dir / "tensorboard" / stage.name, step + 1)

    def train(
        self, step: int, numbers: Mapping[str, float], rates: Mapping[str, float], spent: Mapping[str, float]
    ) -> None:
        """Reports an interval of training; `spent` says where its time went, see `Goodput.take`."""
        self._write(step, "train", {**numbers, **rates, **spent})
        if step == self._stage.steps or time.monotonic() - self._shown >= self._every:
            self._shown = time.monotonic()
            self.say(train_line(self._stage, step, numbers, rates, spent))

    def validation(self, step: int, numbers: Mapping[str, float]) -> None:
        """Reports a validation."""
        self._write(step, "validation", numbers)
        self.say(f"{self._stage.name} {step}/{self._stage.steps}  validation {losses(numbers)}")

    def end(self, step: int, spent: Mapping[str, float]) -> None:
        """Reports where the time of a stage went, or of the part of it that ends here."""
        self._write(step, "time", spent)
        took = f"steps {self._begun + 1} to {step} took {duration(spent['wall_seconds'])}"
        self.say(f"{self._stage.name}: {took}: {shares_line(spent)}")

    def say(self, line: str) -> None:
        """Shows a line."""
        if self._first:
            self._show(line)

    def publish(self) -> None:
        """Brings the run's small files to its store, where it has one."""
        if self._first and store_of(self._run_dir):
            self._board.flush()
            push(self._run_dir)

    def close(self) -> None:
        """Flushes and closes the files."""
        if self._first:
            self._file.close()
            self._board.close()
            push(self._run_dir)

    def _write(self, step: int, kind: str, numbers: Mapping[str, float]) -> None:
        if not self._first:
            return
        self._file.write(json.dumps({"stage": self._stage.name, "step": step, "kind": kind, **numbers}) + "\n")
        self._file.flush()
        self._board.add(step, {f"{kind}/{name}": value for name, value in numbers.items()})


def forget_after(path: Path, stages: list[str], stage: str, step: int) -> None:
    """Drops what metrics.jsonl has beyond a step of a stage, and a line that was cut off."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        earlier = entry["stage"] in stages[: stages.index(stage)]
        if earlier or (entry["stage"] == stage and entry["step"] <= step):
            kept.append(line)
    fresh = path.with_suffix(".jsonl.new")
    fresh.write_text("".join(kept), encoding="utf-8")
    os.replace(fresh, path)


def train_line(
    stage: Stage, step: int, numbers: Mapping[str, float], rates: Mapping[str, float], spent: Mapping[str, float]
) -> str:
    """A progress line: where, losses, speed, useful slots, MFU, what time was spent on, time left."""
    parts = [f"{stage.name} {step}/{stage.steps}", losses(numbers)]
    parts += [f"{name.replace('_', ' ')} {numbers[name]:.2g}" for name in SHOWN if name in numbers]
    if "samples_per_second" in rates:
        parts.append(f"{rates['samples_per_second']:.3g} samples/s")
        parts.append(f"{rates['tokens_per_second']:.3g} useful tokens/s")
    shares = [name for name in rates if not name.endswith("_per_second") and name != "seconds_left"]
    parts += [f"{name.replace('_', ' ')} {rates[name]:.0%}" for name in shares]
    parts.append(shares_line(spent))
    if "seconds_left" in rates:
        parts.append(f"{duration(rates['seconds_left'])} left")
    return "  ".join(parts)


def losses(numbers: Mapping[str, float]) -> str:
    """The loss and its terms."""
    terms = [f"{name.removeprefix('loss/')} {value:.4g}" for name, value in numbers.items() if name.startswith("loss/")]
    total = f"loss {numbers['loss']:.4g}"
    return f"{total} ({', '.join(terms)})" if len(terms) > 1 else total


def duration(seconds: float) -> str:
    """Seconds as '45 s', '12 min' or '3 h 20 min'."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
