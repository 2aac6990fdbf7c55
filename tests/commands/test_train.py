import shutil
import subprocess
import sys

import pytest

from motiongpt3_jax.inference.model import Model
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
