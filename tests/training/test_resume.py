"""An interrupted run, continued, ends with the same bits as one that never stopped."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from motiongpt3_jax.statuses import CONTINUES
from motiongpt3_jax.training import Hooks, restore_variables, run
from tests.training.run_toy import toy_stages, write_page
from tests.training.toy import ToyData, ToySystem

ROOT = Path(__file__).parents[2]
STEPS = 60


def start(run_dir: Path, seconds_per_step: float) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.training.run_toy", str(run_dir), str(STEPS), str(seconds_per_step)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stop(run_dir: Path, number: int, after: float) -> tuple[int, str]:
    """Starts a run, sends it a signal some seconds after its first line, and gives (exit code, errors)."""
    process = start(run_dir, 0.01)
    process.stdout.readline()
    time.sleep(after)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def finish(run_dir: Path) -> Path:
    process = start(run_dir, 0)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return run_dir


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    hooks = Hooks(samples=partial(write_page, str(folder)), show_every=0)
    run(ToySystem(), toy_stages(STEPS), lambda stage: ToyData(), folder, hooks=hooks)
    return folder


def assert_same(run_dir: Path, whole: Path) -> None:
    for ema in (False, True):
        found, expected = (restore_variables(folder, ema=ema) for folder in (run_dir, whole))
        jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert numbers(run_dir) == numbers(whole)
    assert pages(run_dir) == pages(whole)


def pages(run_dir: Path) -> dict[str, str]:
    """The pages of samples by name."""
    found = {path.name: path.read_text() for path in (run_dir / "samples").iterdir()}
    assert len(found) == 2 * (STEPS // 7)
    return found


def numbers(run_dir: Path) -> list[dict]:
    """What metrics.jsonl holds, without what depends on the clock."""
    entries = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    clock = ("_per_second", "seconds_left", "_used", "_seconds")
    return [
        {name: value for name, value in entry.items() if not name.endswith(clock)}
        for entry in entries
        if entry["kind"] != "time"
    ]


def test_a_run_killed_and_then_stopped_by_ctrl_c_ends_like_one_that_never_stopped(tmp_path, uninterrupted):
    code, errors = stop(tmp_path, signal.SIGKILL, 0.1)
    assert code == -signal.SIGKILL
    code, errors = stop(tmp_path, signal.SIGINT, 0.05)
    assert "Ctrl-C: stage '" in errors
    assert_same(finish(tmp_path), uninterrupted)


@pytest.mark.slow
def test_a_run_stopped_by_sigterm_says_so_by_its_status_and_ends_like_one_that_never_stopped(tmp_path, uninterrupted):
    code, errors = stop(tmp_path, signal.SIGTERM, 0.05)
    assert code == CONTINUES
    assert "motiongpt3: SIGTERM: stage '" in errors
    assert "the same command continues" in errors
    assert_same(finish(tmp_path), uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(8))
def test_kills_at_arbitrary_moments_change_nothing(tmp_path, uninterrupted, number):
    draw = random.Random(number)
    for _ in range(6):
        process = start(tmp_path, 0.01)
        time.sleep(draw.uniform(1.0, 6.0))
        if process.poll() is None:
            os.kill(process.pid, draw.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        process.communicate(timeout=60)
    assert_same(finish(tmp_path), uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("write", range(1, 6))
def test_kills_in_the_middle_of_a_write_change_nothing(tmp_path, uninterrupted, write):
    for _ in range(2):
        began, seen, process = time.time(), set(), start(tmp_path, 0.01)
        while len(seen) < write:
            assert process.poll() is None
            seen |= writing(tmp_path, began)
        process.kill()
        process.communicate(timeout=60)
    assert_same(finish(tmp_path), uninterrupted)


def writing(run_dir: Path, since: float) -> set[Path]:
    """Checkpoints that are being written, since some time."""
    found = set()
    for path in (run_dir / "checkpoints").glob("*/*.orbax-checkpoint-tmp*"):
        with suppress(FileNotFoundError):  # it has its final name by now
            found |= {path} if path.stat().st_ctime > since else set()
    return found
