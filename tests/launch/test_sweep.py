"""A sweep runs every combination once, goes on where it was stopped, and gathers what the runs have written."""

import csv
import json
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from motiongpt3_jax.statuses import CONTINUES, DONE, FAILED, WRONG_INPUT

HERE = Path(__file__).resolve().parents[2]

PROGRAM = r"""#!/bin/bash
echo "$*" >> calls
[[ -e stop ]] && { touch waiting; trap 'exit 75' TERM; while true; do sleep 0.05; done; }
[[ $* == *seed=9* && ! -e mended ]] && exit 1
[[ $* =~ out/[^\ ]+ ]] && run=${BASH_REMATCH[0]}
mkdir -p "$run"
for step in 1 2; do
  echo '{"stage": "vae", "step": '$step', "kind": "validation", "loss": '$step'.5, "loss/kl": 0.25}'
done > "$run/metrics.jsonl"
echo '{"stage": "vae", "step": 2, "kind": "train", "loss": 9.0}' >> "$run/metrics.jsonl"
"""
"""Stands for `motiongpt3`: writes a run's metrics, fails or waits for a signal."""


@pytest.fixture
def sweep(tmp_path):
    """Starts a sweep of the program above, or runs it to its end."""
    program = tmp_path / "program"
    program.write_text(PROGRAM)
    program.chmod(0o755)

    def start(*words, wait=True):
        command = [sys.executable, HERE / "launch" / "sweep.py", *words, "--out", "out", "--program", "./program"]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return (*process.communicate(timeout=120), process.returncode) if wait else process

    return start


def calls(tmp_path):
    path = tmp_path / "calls"
    return path.read_text().splitlines() if path.exists() else []


GRID = (
    "motiongpt3:test",
    "--grid",
    "seed",
    "0",
    "9",
    "--grid",
    "model.flow",
    "True",
    "False",
    "--set",
    "data.clips=64",
)


def test_a_sweep_runs_each_combination_and_the_same_command_only_what_is_left(sweep, tmp_path):
    shown, _, status = sweep(*GRID)
    assert status == FAILED
    assert len(calls(tmp_path)) == 4
    first = "train --config motiongpt3:test --workdir out/seed=0,model.flow=True"
    assert calls(tmp_path)[0] == f"{first} --config.data.clips=64 --config.seed=0 --config.model.flow=True"
    assert [line.split("|")[2].strip() for line in shown.splitlines() if line.startswith("| seed")] == [
        "finished",
        "finished",
        "failed",
        "failed",
    ]
    (tmp_path / "mended").touch()
    assert sweep(*GRID)[2] == DONE
    assert len(calls(tmp_path)) == 6

    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").open()))
    assert [(row["status"], row["vae"], row["vae/kl"]) for row in rows] == [("finished", "2.5", "0.25")] * 4
    picture = xml.parse(tmp_path / "out" / "curves.svg")
    assert len(picture.findall(".//{*}polyline")) == 4
    assert (tmp_path / "out" / "table.md").read_text().count("\n") == 6


def test_other_arguments_for_a_run_that_was_begun_are_refused(sweep, tmp_path):
    assert sweep("motiongpt3:test", "--grid", "seed", "0")[2] == DONE
    _, error, status = sweep("motiongpt3:tiny", "--grid", "seed", "0")
    assert status == WRONG_INPUT
    assert error.startswith("sweep: seed=0 was begun with other arguments (train --config motiongpt3:test ")


def test_sigterm_ends_a_sweep_with_its_run_and_the_same_command_goes_on(sweep, tmp_path):
    (tmp_path / "stop").touch()
    process = sweep("motiongpt3:test", "--grid", "seed", "0", "1", wait=False)
    while not (tmp_path / "waiting").exists():
        time.sleep(0.05)
    time.sleep(0.2)  # the program has set its trap
    process.send_signal(signal.SIGTERM)
    assert "interrupted" in process.communicate(timeout=60)[0]
    assert process.returncode == CONTINUES
    assert len(calls(tmp_path)) == 1
    (tmp_path / "stop").unlink()
    assert sweep("motiongpt3:test", "--grid", "seed", "0", "1")[2] == DONE
    assert len(calls(tmp_path)) == 3


def test_a_dry_run_shows_the_commands_of_every_ablation_and_does_nothing(sweep, tmp_path):
    shown, _, status = sweep(str(HERE / "configs" / "ablations"), "--dry-run")
    assert status == DONE
    files = {path for path in (HERE / "configs" / "ablations").glob("*.py") if path.stem != "__init__"}
    assert {line.split()[3] for line in shown.splitlines()} == {f"{path}:tiny" for path in files}
    assert not calls(tmp_path)
    assert not (tmp_path / "out").exists()


def test_job_files_run_what_the_sweep_would(sweep, tmp_path):
    assert sweep("motiongpt3:test", "--grid", "seed", "0", "1", "--jobs", "jobs")[2] == DONE
    assert not calls(tmp_path)
    for path in sorted((tmp_path / "jobs").iterdir()):
        subprocess.run([path], cwd=tmp_path, check=True)
    assert [line.split()[-1] for line in calls(tmp_path)] == ["--config.seed=0", "--config.seed=1"]
    assert sweep("motiongpt3:test", "--grid", "seed", "0", "1", "--gather")[0].count("run elsewhere") == 2


def test_what_was_measured_is_in_the_table(sweep, tmp_path):
    assert sweep("motiongpt3:test", "--measure", "20")[2] == DONE
    assert calls(tmp_path) == ["demo --count 20 --config motiongpt3:test --out out/run"]
    (tmp_path / "out" / "run" / "report.json").write_text(json.dumps({"captioning": {"share_right": 0.75}}))
    assert "0.75" in sweep("motiongpt3:test", "--measure", "20", "--gather")[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["motiongpt3:test", "--grid", "seed"], "--grid seed: give the values"),
        (["motiongpt3:test", "--grid", "seed", "1", "1"], "two runs have the name 'seed=1'"),
        (["."], "the folder has no config files"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_in_one_sentence(sweep, words, said):
    _, error, status = sweep(*words)
    assert (status, len(error.splitlines())) == (WRONG_INPUT, 1)
    assert said in error


@pytest.mark.slow
def test_a_sweep_of_two_real_runs_ends_with_their_losses(tmp_path):
    command = [sys.executable, HERE / "launch" / "sweep.py", "motiongpt3:test", "--out", tmp_path / "out"]
    command += ["--grid", "seed", "0", "1", "--set", "run=('vae',)", "stages.vae.steps=2", "stages.vae.sample_every=0"]
    assert subprocess.run(command, check=False).returncode == DONE
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").open()))
    assert [row["status"] for row in rows] == ["finished"] * 2
    assert float(rows[0]["vae"]) != float(rows[1]["vae"])
