"""The scripts that launch training: their shell is sound, dry runs show the commands, the JobSet says what it must."""

import os
import re
import shlex
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest
import yaml

from motiongpt3_jax.statuses import CONTINUES, FAILED, MEANINGS, WRONG_INPUT

HERE = Path(__file__).resolve().parents[2]
LAUNCH = HERE / "launch"
SCRIPTS = sorted([*LAUNCH.glob("*.sh"), *LAUNCH.glob("*.sbatch")])

MOTIONGPT3 = """#!/bin/bash
echo "$*" >> calls
trap 'exit 75' TERM
[[ $* == *" 2 1" && $ENDS ]] && exit "$ENDS"
[[ $ENDS ]] && exit 0
while true; do sleep 0.05; done
"""
"""A program of the command's name that ends with a status, or when it is told to."""


def script(name, *words, **environment):
    command = ["bash", LAUNCH / name, *words]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def shown(name, *words, **environment):
    """The commands of a dry run, as words."""
    done = script(name, *words, **environment)
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(path):
    shellcheck = Path(sysconfig.get_path("scripts")) / "shellcheck"  # of the dev extra
    done = subprocess.run([shellcheck, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_local_run_simulates_devices_in_each_of_its_processes():
    words = ("--dry-run", "--devices", "2", "--processes", "3", "--config", "motiongpt3:test", "--workdir", "a run")
    exported, *commands = shown("local.sh", *words)
    assert exported[0] == "export"
    assert "--xla_force_host_platform_device_count=2" in exported[-1]
    assert [command[:-3] for command in commands] == [
        ["motiongpt3", "train", "--config", "motiongpt3:test", "--workdir", "a run", "--distributed"]
    ] * 3
    assert [command[-2:] for command in commands] == [["3", str(i)] for i in range(3)]
    assert len({command[-3] for command in commands}) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--devices", "many", "--config", "x"], "many is no number"),
        (["--processes", "0", "--config", "x"], "0 is no number"),
        (["--dry-run"], "give the arguments of motiongpt3 train"),
    ],
)
def test_what_a_local_run_cannot_do_is_said(words, said):
    done = script("local.sh", *words)
    assert (done.returncode, len(done.stderr.splitlines())) == (WRONG_INPUT, 1)
    assert said in done.stderr


@pytest.fixture
def local(tmp_path):
    """Starts local.sh with two processes of the program above."""
    (tmp_path / "motiongpt3").write_text(MOTIONGPT3)
    (tmp_path / "motiongpt3").chmod(0o755)

    def start(ends=""):
        env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ENDS": ends}
        command = ["bash", LAUNCH / "local.sh", "--processes", "2", "--config", "x", "--workdir", "y"]
        return subprocess.Popen(command, cwd=tmp_path, env=env)

    return start


def test_a_local_run_ends_with_the_status_of_a_process_that_failed(local):
    assert local(str(FAILED)).wait(timeout=60) == FAILED


def test_sigterm_reaches_every_process_of_a_local_run(local, tmp_path):
    process = local()
    while not (tmp_path / "calls").exists() or len((tmp_path / "calls").read_text().splitlines()) < 2:
        time.sleep(0.05)
    time.sleep(0.2)  # both have set their traps
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == CONTINUES


SLICE = {"TPU": "motion", "ZONE": "us-west4-a", "TYPE": "v5litepod-16"}


def test_a_slice_is_created_and_deleted():
    gcloud = ["gcloud", "compute", "tpus", "tpu-vm"]
    [create] = shown("tpu_vm.sh", "--dry-run", "create", **SLICE, SPOT="yes")
    assert create[:6] == [*gcloud, "create", "motion"]
    assert {"--zone=us-west4-a", "--accelerator-type=v5litepod-16", "--spot"} < set(create)
    assert [word for word in create if word.startswith("--version=")]
    assert shown("tpu_vm.sh", "--dry-run", "delete", **SLICE) == [
        [*gcloud, "delete", "motion", "--zone=us-west4-a", "--quiet"]
    ]


def test_training_runs_on_every_host_of_a_slice_with_its_arguments_as_they_are():
    [run] = shown("tpu_vm.sh", "--dry-run", "run", "--config", "x", "--workdir", "a run", **SLICE)
    assert "--worker=all" in run
    remote = shlex.split(run[-1].removeprefix("--command="))
    assert remote == ["venv/bin/motiongpt3", "train", "--config", "x", "--workdir", "a run", "--distributed"]


def test_a_slice_installs_this_checkout_or_what_it_is_told():
    archive, copy, install = shown("tpu_vm.sh", "--dry-run", "install", **SLICE)
    assert archive[:4] == ["git", "-C", str(HERE), "archive"]
    assert "motion:motiongpt3_jax.tar.gz" in copy
    assert "./motiongpt3_jax[tpu]" in shlex.split(install[-1].removeprefix("--command="))
    [install] = shown("tpu_vm.sh", "--dry-run", "install", **SLICE, SOURCE="git+https://host/repository")
    remote = shlex.split(install[-1].removeprefix("--command="))
    assert remote[-1] == "motiongpt3_jax[tpu] @ git+https://host/repository"


@pytest.mark.parametrize(("words", "said"), [([], "give create, install, run"), (["run"], "give the arguments")])
def test_what_is_asked_of_a_slice_must_be_known(words, said):
    done = script("tpu_vm.sh", *words, **SLICE)
    assert done.returncode == WRONG_INPUT
    assert said in done.stderr


def test_the_jobset_goes_by_the_exit_statuses():
    jobset = yaml.safe_load((LAUNCH / "gke_jobset.yaml").read_text())
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    [replicated] = jobset["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    assert job["parallelism"] == job["completions"]
    assert job["backoffLimit"] == 0

    # Which rule of the pods a status meets, as the Job's message has it, and which rule of the JobSet that one meets.
    rules = job["podFailurePolicy"]["rules"]
    pods = job["template"]["spec"]
    assert {rule["action"] for rule in rules} == {"FailJob"}
    assert pods["restartPolicy"] == "Never", "Kubernetes refuses a podFailurePolicy otherwise"
    [container] = pods["containers"]
    assert {rule["onExitCodes"]["containerName"] for rule in rules if "onExitCodes" in rule} == {container["name"]}

    def answer(pod_rule):
        message = f"Container train for pod default/slice failed matching FailJob rule at index {pod_rule}"
        for rule in jobset["spec"]["failurePolicy"]["rules"]:
            patterns = rule.get("onJobFailureMessagePatterns", [""])
            if "PodFailurePolicy" in rule["onJobFailureReasons"] and any(re.search(p, message) for p in patterns):
                return rule["action"]
        return None

    answers = {}
    for number, rule in enumerate(rules):
        for status in rule["onExitCodes"]["values"] if "onExitCodes" in rule else ["disruption"]:
            answers[status] = answer(number)
    again = "RestartJobSetAndIgnoreMaxRestarts"
    assert answers == {CONTINUES: again, "disruption": again, FAILED: "FailJobSet", WRONG_INPUT: "FailJobSet"}
    assert container["command"] == ["motiongpt3", "train", "--distributed"]
    assert "google.com/tpu" in container["resources"]["limits"]


def test_the_table_of_statuses_is_that_of_the_program():
    table = re.findall(r"^\| (\d+) \| (.*?) \|", (HERE / "docs" / "scaling.md").read_text(), re.M)
    told = {int(status): meaning for status, meaning in table}
    assert set(MEANINGS) <= set(told)
