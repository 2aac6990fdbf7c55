"""Several processes train one model as one does: they stop together, load the right rows, and are refused together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from motiongpt3_jax.statuses import CONTINUES, PEER_LOST
from motiongpt3_jax.training import restore_params, run, run_lock
from tests.training.test_damage import biggest, cut
from tests.training.toy import ToyData, ToySystem, two_stages

ROOT = Path(__file__).parents[2]
STEPS = 40


def start(
    run_dir: Path,
    seconds_per_step: float = 0,
    count: int = 2,
    local: int = 1,
    steps: int = STEPS,
    mesh: str = "",
    hangs: int | None = None,
) -> list[subprocess.Popen]:
    """Starts `count` processes with `local` devices each; `mesh` as in run_toy. One may hang while it reads data."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "tests.training.run_toy", str(run_dir), str(steps), str(seconds_per_step)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    env = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={local}",
    }
    numbered = [[*command, str(i), str(count), port, *mesh.split()] for i in range(count)]
    if hangs is not None:
        numbered[hangs][5] = "1000"  # seconds that a batch takes
    return [subprocess.Popen(words, cwd=ROOT, env=env, **pipes) for words in numbered]


def wait_for_steps(process: subprocess.Popen) -> None:
    """Returns when a process reports its first steps."""
    next(line for line in process.stdout if line.startswith("first "))


def errors(processes: list[subprocess.Popen], status: int = 0) -> list[str]:
    """What each process wrote to its standard error; all end with a status."""
    found = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [status] * len(processes), found
    return found


def alone(run_dir: Path, rows: int, steps: int) -> Path:
    run(ToySystem(), two_stages(steps), lambda stage: ToyData(rows=rows), run_dir)
    return run_dir


def same(found: Path, expected: Path) -> None:
    """The same numbers reported and the same parameters, up to the order of sums."""
    reports = [
        [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()] for path in (found, expected)
    ]
    reports = [[entry for entry in report if entry["kind"] != "time"] for report in reports]
    assert len(reports[0]) == len(reports[1]) > 0
    for ours, theirs in zip(*reports):
        assert [ours[name] for name in ("stage", "step", "kind")] == [
            theirs[name] for name in ("stage", "step", "kind")
        ]
        np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-5)
    params = (restore_params(path)[2] for path in (found, expected))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *params)


def test_processes_that_hold_the_same_rows_feed_the_same(tmp_path):
    errors(start(tmp_path / "two", steps=10, mesh="1 1 2 4"))
    same(tmp_path / "two", alone(tmp_path / "one", rows=4, steps=10))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "local", "mesh", "rows"),
    [
        (2, 1, "2 1 1", 8),
        (2, 2, "1 1 4", 8),
        (2, 2, "2 1 2", 8),
        (2, 2, "1 2 2", 8),
        (2, 2, "4 1 1", 8),
        (2, 4, "2 2 2", 8),
        (3, 1, "1 1 3", 8),
        (3, 1, "3 1 1", 6),
        (3, 2, "3 1 2", 6),
        (3, 2, "2 1 3", 8),  # the middle process holds rows of both halves
    ],
)
@pytest.mark.parametrize("order", ["", "interleaved"])
def test_whatever_the_mesh_processes_train_as_one(tmp_path, count, local, mesh, rows, order):
    errors(start(tmp_path / "several", steps=10, count=count, local=local, mesh=f"{mesh} {rows} {order}"))
    same(tmp_path / "several", alone(tmp_path / "one", rows=rows, steps=10))


@pytest.mark.slow
def test_rows_that_do_not_divide_over_processes_are_refused_by_all(tmp_path):
    for error in errors(start(tmp_path, count=3, mesh="3 1 1 8"), status=1):
        assert "a batch of 8 rows does not divide over data x fsdp = 3 devices; choose a multiple of 3" in error


@pytest.mark.slow
def test_a_damaged_checkpoint_is_set_aside_by_one_process_for_all(tmp_path):
    errors(start(tmp_path / "two", steps=10))
    cut(biggest(tmp_path / "two/checkpoints/second/10"))
    shown = [process.communicate(timeout=300) for process in start(tmp_path / "two", steps=10)]
    assert ["is damaged (" in out for out, _ in shown] == [True, False], shown
    same(tmp_path / "two", alone(tmp_path / "one", rows=4, steps=10))


@pytest.mark.slow
def test_processes_are_refused_together_where_another_run_trains(tmp_path):
    with run_lock(tmp_path):
        found = errors(start(tmp_path), status=1)
    assert f"{tmp_path} is being trained already (process {os.getpid()} on " in found[0]
    assert f"process 0 could not lock the run's folder: {tmp_path} is being trained already" in found[1]


@pytest.mark.slow
def test_processes_stop_together_and_continue_to_what_one_process_gets(tmp_path):
    processes = start(tmp_path / "two", 0.05)
    processes[0].stdout.readline()
    processes[1].send_signal(signal.SIGTERM)
    stopped = [
        [line for line in error.splitlines() if line.startswith("motiongpt3: SIGTERM: stage")]
        for error in errors(processes, CONTINUES)
    ]
    assert stopped[0] == stopped[1] != []
    errors(start(tmp_path / "two"))
    same(tmp_path / "two", alone(tmp_path / "one", rows=4, steps=STEPS))


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_when_one_process_is_killed_the_other_ends_soon(tmp_path, victim):
    processes = start(tmp_path, 0.05, steps=4000)
    wait_for_steps(processes[0])
    processes[victim].kill()
    began = time.monotonic()
    error = processes[1 - victim].communicate(timeout=120)[1]
    assert time.monotonic() - began < 60
    assert processes[1 - victim].returncode == PEER_LOST, error
    # Where the first process dies, JAX has said so already.
    last = error.splitlines()[-1]
    assert last.startswith(("process 1 of 2 cannot go on (", "process 0 of 2 cannot", "this process cannot go on (")), (
        error
    )
    assert "another process died" in last
    assert "Traceback" not in error


@pytest.mark.slow
@pytest.mark.parametrize("hangs", [0, 1])
def test_processes_leave_where_one_of_them_makes_no_step(tmp_path, monkeypatch, hangs):
    monkeypatch.setenv("STEP_TIMEOUT", "5")
    found = errors(start(tmp_path, steps=4000, hangs=hangs), PEER_LOST)
    assert any("no step of stage 'first' ended in 5 s after step 0" in error for error in found), found
