"""The Slurm script, with programs of Slurm's names that write down how they are called."""

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from motiongpt3_jax.parallel.processes import node_gpus
from motiongpt3_jax.statuses import CONTINUES, DONE, FAILED, WRONG_INPUT

SCRIPT = Path(__file__).parents[2] / "launch" / "slurm.sbatch"

SRUN = """#!/bin/bash
echo "srun $*" >> calls
trap 'echo "saved" >> calls; exit "$SAVED"' TERM
echo $$ > tasks
[[ $ENDS ]] && exit "$ENDS"
while true; do sleep 0.05; done
"""
SCANCEL = """#!/bin/bash
echo "scancel $*" >> calls
[[ $1 == --signal=TERM ]] && kill -TERM "$(cat tasks)"
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

    def start(ends="", saved=CONTINUES, **set_by_slurm):
        env = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"} | set_by_slurm
        env |= {"ENDS": ends, "SAVED": str(saved)}
        command = ["bash", str(SCRIPT), "--config", "motiongpt3:base", "--workdir", "a run"]
        return subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True), tmp_path / "calls"

    return start


TRAIN = (
    "srun --gpu-bind=none --kill-on-bad-exit=0 motiongpt3 train --distributed --config motiongpt3:base --workdir a run"
)


@pytest.mark.parametrize(("saved", "queued"), [(CONTINUES, ["scontrol requeue 7"]), (DONE, []), (FAILED, [])])
def test_before_its_time_limit_the_job_saves_and_is_queued_again_where_steps_are_left(job, saved, queued):
    process, calls = job(saved=saved)
    while not (calls.parent / "tasks").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=60) == saved
    assert calls.read_text().splitlines() == [TRAIN, "scancel --signal=TERM 7", "saved", *queued]


def test_other_numbers_of_tasks_and_gpus_are_refused(job):
    process, calls = job(SLURM_NTASKS_PER_NODE="2", SLURM_GPUS_ON_NODE="8")
    assert "2 tasks a node and 8 GPUs; set --ntasks-per-node and --gpus-per-node" in process.communicate(timeout=60)[1]
    assert process.returncode == WRONG_INPUT
    assert not calls.exists()


@pytest.mark.parametrize("status", [DONE, WRONG_INPUT, CONTINUES])
def test_a_job_that_ends_by_itself_is_not_queued_again(job, status):
    process, calls = job(str(status))
    assert process.wait(timeout=60) == status
    assert calls.read_text().splitlines() == [TRAIN]


def test_the_job_asks_for_one_task_a_gpu_and_for_a_signal_to_its_script():
    lines = [line.split()[1] for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")]
    directives = dict(line.partition("=")[::2] for line in lines)
    assert directives["--ntasks-per-node"] == directives["--gpus-per-node"]
    assert directives["--signal"] == "B:USR1@300"
    assert "--requeue" in directives


def test_a_dry_run_shows_the_command_and_runs_nothing(tmp_path):
    command = ["bash", SCRIPT, "--dry-run", "--config", "motiongpt3:base", "--workdir", "a run"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    assert shlex.split(shown[0]) == [*TRAIN.removesuffix("a run").split(), "a run"]
    assert f"status {CONTINUES} then: scontrol requeue" in shown[1]


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
