"""A run of the real model that is killed again and again ends where an undisturbed one does."""

import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from motiongpt3_jax.training import restore_variables

pytestmark = pytest.mark.slow

COMMAND = (
    *(sys.executable, "-m", "motiongpt3_jax", "train", "--config", "motiongpt3:test"),
    *("--config.stages.vae.steps=40", "--config.stages.vae.checkpoint_every=8"),
    *("--config.stages.generate.steps=40", "--config.stages.generate.checkpoint_every=8"),
    "--config.run=('vae', 'generate')",
)


def start(workdir):
    return subprocess.Popen([*COMMAND, "--workdir", str(workdir)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_kill_sigterm_and_ctrl_c_leave_a_run_that_ends_bit_for_bit_alike(tmp_path):
    assert start(tmp_path / "whole").wait() == 0
    stopped = 0
    for number in range(12):
        process = start(tmp_path / "stopped")
        sent = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[number % 3]
        steps = tmp_path / "stopped" / "metrics.jsonl"
        seen = len(steps.read_text().splitlines()) if steps.exists() else 0
        # Wait until the run moves, then a little longer: the signal lands anywhere.
        while process.poll() is None and (
            not steps.exists() or len(steps.read_text().splitlines()) <= seen + 3 * number
        ):
            time.sleep(0.05)
        if process.poll() is None:
            os.kill(process.pid, sent)
            stopped += 1
        status = process.wait()
        if status == 0:
            break
    while start(tmp_path / "stopped").wait() != 0:
        pass
    assert stopped >= 3
    whole, again = (restore_variables(tmp_path / name) for name in ("whole", "stopped"))
    assert whole[:2] == again[:2] == ("generate", 40)
    jax.tree.map(np.testing.assert_array_equal, whole[2], again[2])
