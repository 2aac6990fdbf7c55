import json
from contextlib import suppress
from dataclasses import dataclass

import pytest

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.training import Hooks, run
from motiongpt3_jax.training.goodput import PARTS, Goodput, shares_line
from tests.training.toy import ToyData, ToySystem, stage


class Clock:
    """A clock that goes on when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def parts_of(numbers: dict[str, float]) -> dict[str, float]:
    """The parts that took time."""
    return {name: numbers[f"{name}_seconds"] for name in PARTS if numbers[f"{name}_seconds"]}


def test_every_moment_belongs_to_one_part_and_the_parts_add_up_to_wall_time():
    clock = Clock()
    goodput = Goodput(clock=clock)
    clock.wait(3.0)
    with goodput.part("host"):
        clock.wait(0.5)
        with goodput.part("evaluation"):
            clock.wait(1.0)
            with goodput.part("compile"):
                clock.wait(20.0)
            clock.wait(2.0)
        with suppress(ValueError), goodput.part("input"):
            clock.wait(0.25)
            raise ValueError
        clock.wait(0.5)
    clock.wait(4.0)
    expected = {"start": 7.0, "compile": 20.0, "input": 0.25, "host": 1.0, "evaluation": 3.0}
    assert parts_of(goodput.take()) == expected
    assert goodput.total()["wall_seconds"] == sum(expected.values()) == clock.now - 100.0


def test_each_interval_has_its_own_time_and_the_total_all_of_it():
    clock = Clock()
    goodput = Goodput(clock=clock)
    clock.wait(1.0)
    first = goodput.take()
    with goodput.part("device"):
        clock.wait(2.0)
        second = goodput.take()  # in the middle of a part
        clock.wait(3.0)
    third = goodput.take()
    assert [parts_of(numbers) for numbers in (first, second, third)] == [
        {"start": 1.0},
        {"device": 2.0},
        {"device": 3.0},
    ]
    assert parts_of(goodput.total()) == {"start": 1.0, "device": 5.0}


def test_mfu_is_the_share_of_the_peak_in_the_time_of_steps():
    clock = Clock()
    goodput = Goodput(peak=100.0, clock=clock)
    for part, seconds in (("input", 1.0), ("device", 8.0), ("host", 1.0), ("checkpoint", 50.0), ("compile", 30.0)):
        with goodput.part(part):
            clock.wait(seconds)
    goodput.add(300.0)
    goodput.add(100.0)
    assert goodput.take()["mfu"] == pytest.approx(400.0 / (10.0 * 100.0))
    assert "mfu" not in goodput.take()  # no step since
    assert goodput.total()["mfu"] == pytest.approx(0.4)


def test_mfu_is_left_out_where_nobody_counts_flops_or_knows_the_peak():
    for peak, flops in ((None, 300.0), (100.0, None)):
        clock = Clock()
        goodput = Goodput(peak, clock)
        with goodput.part("device"):
            clock.wait(1.0)
        goodput.add(flops)
        assert "mfu" not in goodput.take()


def test_shares_are_told_largest_first_and_small_ones_are_left_out():
    numbers = {"wall_seconds": 10.0, **{f"{name}_seconds": 0.0 for name in PARTS}, "mfu": 0.3517}
    numbers |= {"device_seconds": 9.0, "host_seconds": 0.3, "input_seconds": 0.69, "samples_seconds": 0.01}
    assert shares_line(numbers) == "MFU 35.2%  device 90%, input 7%, host 3%"


@dataclass(frozen=True)
class Counted(ToySystem):
    """The toy with a number for what a sample needs."""

    def train_flops(self, loss: str, batch: Batch, objective=None, frozen=()) -> float:
        return 1e3 * len(batch.samples)


def test_a_run_writes_its_time_per_interval_and_per_stage_and_mfu(tmp_path):
    lines: list[str] = []
    hooks = Hooks(show=lines.append, show_every=0, peak=1e6, samples=lambda stage, step, variables: None)
    run(Counted(), [stage(steps=12, sample_every=6)], lambda stage: ToyData(), tmp_path, hooks=hooks)
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    train, ends = ([entry for entry in entries if entry["kind"] == kind] for kind in ("train", "time"))
    assert [entry["step"] for entry in train] == [5, 10, 12]
    (end,) = ends
    for entry in (*train, end):
        assert entry["wall_seconds"] == pytest.approx(sum(entry[f"{name}_seconds"] for name in PARTS))
        able = 1e6 * sum(entry[f"{name}_seconds"] for name in ("input", "device", "host"))
        steps = {5: 5, 10: 5, 12: 2}[entry["step"]] if entry is not end else 12
        assert entry["mfu"] == pytest.approx(4e3 * steps / able)
    assert train[0]["compile_seconds"] > 0
    assert train[1]["compile_seconds"] == 0
    assert all(end[f"{name}_seconds"] > 0 for name in PARTS)
    assert lines[-1].startswith("first: steps 1 to 12 took ")
    assert "MFU" in lines[-1]
