"""Two processes train one model, and stop together when one of them is told to."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from motiongpt3_jax.training import restore_params, run
from tests.training.toy import ToyData, ToySystem, two_stages

ROOT = Path(__file__).parents[2]
STEPS = 40


def start(run_dir: Path, seconds_per_step: float) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "tests.training.run_toy", str(run_dir), str(STEPS), str(seconds_per_step)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    env = os.environ | {"JAX_PLATFORMS": "cpu"}
    return [subprocess.Popen([*command, str(i), "2", port], cwd=ROOT, env=env, **pipes) for i in range(2)]


@pytest.mark.slow
def test_processes_stop_together_and_continue_to_what_one_process_gets(tmp_path):
    processes = start(tmp_path / "two", 0.05)
    processes[0].stdout.readline()
    processes[1].send_signal(signal.SIGTERM)
    errors = [process.communicate(timeout=120)[1] for process in processes]
    stopped = [[line for line in error.splitlines() if line.startswith("SIGTERM: stage")] for error in errors]
    assert stopped[0] == stopped[1] != [], errors
    for process in (again := start(tmp_path / "two", 0)):
        error = process.communicate(timeout=120)[1]
        assert process.returncode == 0, error
    assert len(again) == 2

    run(ToySystem(), two_stages(STEPS), lambda stage: ToyData(), tmp_path / "one")
    found, expected = restore_params(tmp_path / "two")[2], restore_params(tmp_path / "one")[2]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)
