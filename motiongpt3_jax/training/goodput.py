"""Goodput and MFU: the wall time of a stage in parts that add up to it, and how much of it was model FLOPs."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import jax

PARTS = {
    "start": "data, parameters or a checkpoint, and everything else before the first step",
    "compile": "the first call of each program: traced, and compiled or read from the cache",
    "input": "waiting for a batch",
    "device": "waiting for the devices",
    "host": "everything else between two steps: their dispatch, numbers, files",
    "evaluation": "validation, its batches included",
    "checkpoint": "saving; most of the writing runs beside the steps",
    "samples": "pages of sample motions",
}
"""Where the wall time of a stage goes."""

STEPS = ("input", "device", "host")
"""The parts in which steps run: MFU counts their time alone."""


class Goodput:
    """Books each moment of wall time under one part, and the FLOPs of the steps under way.

    Whatever is outside of all parts is booked under "start".

    Args:
      peak: FLOP/s that all devices reach at most; None leaves MFU out.
      clock: seconds.
    """

    def __init__(self, peak: float | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        self._peak, self._clock, self._part = peak, clock, "start"
        self._since = clock()
        self._seconds, self._taken = dict.fromkeys(PARTS, 0.0), dict.fromkeys(PARTS, 0.0)
        self._flops, self._taken_flops = 0.0, 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Books what is done inside under a part, and shows it in traces; the part around it pauses."""
        around = self._begin(name)
        try:
            with jax.profiler.TraceAnnotation(name):
                yield
        finally:
            self._begin(around)

    @property
    def now(self) -> str:
        """The part under way; any thread may ask."""
        return self._part

    def add(self, flops: float | None) -> None:
        """Counts the FLOPs that the model needed for a finished step."""
        self._flops += flops or 0.0

    def take(self) -> dict[str, float]:
        """Wall time and its parts since the last call, in seconds, and MFU where it is known."""
        self._begin(self._part)
        seconds = {name: self._seconds[name] - self._taken[name] for name in PARTS}
        flops, self._taken, self._taken_flops = self._flops - self._taken_flops, dict(self._seconds), self._flops
        return self._numbers(seconds, flops)

    def total(self) -> dict[str, float]:
        """The same since the beginning."""
        self._begin(self._part)
        return self._numbers(self._seconds, self._flops)

    def _begin(self, name: str) -> str:
        """Ends the part under way and begins another; gives the one that ended."""
        now, before = self._clock(), self._part
        self._seconds[before] += now - self._since
        self._part, self._since = name, now
        return before

    def _numbers(self, seconds: dict[str, float], flops: float) -> dict[str, float]:
        numbers = {"wall_seconds": sum(seconds.values())} | {f"{name}_seconds": seconds[name] for name in PARTS}
        able = sum(seconds[name] for name in STEPS) * (self._peak or 0.0)
        return numbers | ({"mfu": flops / able} if flops and able else {})


def shares_line(numbers: Mapping[str, float]) -> str:
    """MFU, and the shares of wall time from half a percent on: 'MFU 41.2%  device 90%, input 6%, host 4%'."""
    wall = numbers["wall_seconds"]
    shares = {name: numbers[f"{name}_seconds"] / wall for name in PARTS} if wall else {}
    parts = [f"{name} {share:.0%}" for name, share in sorted(shares.items(), key=lambda x: -x[1]) if share >= 0.005]
    mfu = [f"MFU {100 * numbers['mfu']:.3g}%"] if "mfu" in numbers else []
    return "  ".join([*mfu, ", ".join(parts)])
