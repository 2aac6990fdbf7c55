"""The Slurm script, with programs of Slurm's names that write down how they are called."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from motiongpt3_jax.parallel.processes import node_gpus

SCRIPT = Path(__file__).parents[2] / "launch" / "slurm.sh"

SRUN = """#!/bin/bash
echo "srun $*" >> calls
trap 'echo "saved" >> calls; exit 1' USR1
echo $$ > tasks
[[ $ENDS ]] && exit "$ENDS"
while true; do sleep 0.05; done
"""
SCANCEL = """#!/bin/bash
echo "scancel $*" >> calls
[[ $1 == --signal=TERM ]] && kill -USR1 "$(cat tasks)"
"""
SCONTROL = """#!/bin/bash
echo "scontrol $*" >> calls
"""


@pytest.fixture
def job(tmp_path):
    """Starts the script as Slurm would, with training that ends with a status, or that runs until it is told to end."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"srun": SRUN, "scancel": SCANCEL, "scontrol": SCONTROL}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    def start(ends=""):
        env = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "ENDS": ends}
        command = ["bash", str(SCRIPT), "--config", "motiongpt3:base", "--workdir", "a run"]
        return subprocess.Popen(command, cwd=tmp_path, env=env), tmp_path / "calls"

    return start


TRAIN = "srun motiongpt3 train --distributed --config motiongpt3:base --workdir a run"


def test_at_its_time_limit_the_job_saves_and_is_queued_again(job):
    process, calls = job()
    while not (calls.parent / "tasks").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 1
    assert calls.read_text().splitlines() == [TRAIN, "scancel --signal=TERM 7", "saved", "scontrol requeue 7"]


@pytest.mark.parametrize("status", [0, 2])
def test_a_job_that_ends_by_itself_is_not_queued_again(job, status):
    process, calls = job(str(status))
    assert process.wait(timeout=20) == status
    assert calls.read_text().splitlines() == [TRAIN]


def test_the_job_asks_for_one_process_a_node_and_for_a_signal_to_its_script():
    asked = [line.split()[1] for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")]
    assert {"--ntasks-per-node=1", "--requeue", "--signal=B:TERM@120"} <= set(asked)


@pytest.mark.parametrize(
    ("tasks", "gpus", "expected"),
    [
        ("1(x4)", "8", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("1", "2", [0, 1]),
        ("4(x2)", "4", None),  # one task a GPU, which is what JAX expects
        ("1,2", "4", None),
        ("1(x4)", "", None),
        ("", "", None),
    ],
)
def test_the_only_task_of_a_node_takes_all_of_its_gpus(tasks, gpus, expected):
    set_by_slurm = {"SLURM_STEP_TASKS_PER_NODE": tasks, "SLURM_GPUS_ON_NODE": gpus}
    assert node_gpus(set_by_slurm) == expected
