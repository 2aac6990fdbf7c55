import os
import shutil
import signal
import subprocess
import sys

import pytest

from motiongpt3_jax.__main__ import main
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.statuses import MEANINGS
from motiongpt3_jax.training import TrainingDiverged, TrainingInterrupted
from tests.trained import call
from tests.training.test_damage import biggest, cut
from tests.training.test_lock import HOLD, ROOT


def train(folder, *overrides):
    return call("train", "--config", "motiongpt3:test", "--workdir", folder, *overrides)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "--config.stages.align_bare.optimizer.accumulate=3",
            "stage 'align_bare': the 2 rows of each of data x fsdp = 1",
        ),
        ("--config.stages.align_bare.batch.rows=0", "config.stages.align_bare.batch.rows is 0"),
        ("--config.mesh.tensor=3", "does not fill 1 devices"),
    ],
)
def test_what_the_last_stage_cannot_do_is_said_before_anything_is_made(tmp_path, override, message):
    status, _, error = train(tmp_path / "run", override)
    assert status == 2
    assert message in error
    assert not (tmp_path / "run").exists()


def test_a_second_training_of_a_folder_is_refused_in_one_sentence(tmp_path):
    command = [sys.executable, "-c", HOLD, tmp_path / "run"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        status, _, error = train(tmp_path / "run")
        other.kill()
    assert status == 2
    assert f"run is being trained already (process {other.pid} on " in error
    assert len(error.splitlines()) == 1


def test_a_model_whose_last_checkpoint_is_damaged_is_read_from_the_one_before_with_a_word(trained, tmp_path, capsys):
    run = shutil.copytree(trained, tmp_path / "run")
    stage, step = Model.load(run).engine.trained
    folder = run / "checkpoints" / stage
    shutil.copytree(folder / str(step), folder / "1")
    cut(biggest(folder / str(step)))
    assert Model.load(run).engine.trained == (stage, 1)
    assert f"checkpoint {folder / str(step)} is damaged (" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [(TrainingInterrupted("stopped"), 75), (TrainingDiverged("not finite"), 1)],
)
@pytest.mark.parametrize("command", [("train", "--config", "motiongpt3:test", "--workdir"), ("demo", "--out")])
def test_how_training_ended_is_told_by_the_exit_status(tmp_path, monkeypatch, capsys, command, error, status):
    def end(*arguments, **options):
        raise error

    monkeypatch.setattr(f"motiongpt3_jax.commands.{command[0]}.train", end)
    with pytest.raises(SystemExit) as left:
        main([*command, str(tmp_path)])
    assert left.value.code == status
    assert capsys.readouterr().err == f"motiongpt3: {error}\n"


def test_sigterm_before_the_first_step_says_that_the_same_command_continues(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("motiongpt3_jax.commands.train.train", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as left:
        main(["train", "--config", "motiongpt3:test", "--workdir", str(tmp_path)])
    assert left.value.code == 75
    assert capsys.readouterr().err == "motiongpt3: SIGTERM: stopped; the same command continues.\n"


@pytest.mark.parametrize("command", ["train", "demo"])
def test_the_help_says_what_each_exit_status_means(capsys, command):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert all(f"\n  {status:<4}{meaning}" in shown for status, meaning in MEANINGS.items())
