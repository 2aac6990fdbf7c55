import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from motiongpt3_jax.training import run_lock
from motiongpt3_jax.training.lock import LOCK
from tests.training.test_loop import train
from tests.training.toy import stage

ROOT = Path(__file__).parents[2]

HOLD = """
import sys, time
from motiongpt3_jax.training import run_lock
with run_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that trains in the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "run"], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_run_on_one_folder_is_refused_until_the_first_one_dies(tmp_path, other):
    with pytest.raises(
        ValueError, match=rf"run is being trained already \(process {other.pid} on .*\); wait for its end"
    ):
        train(tmp_path / "run", stage(steps=1))
    assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    train(tmp_path / "run", stage(steps=1))


def test_the_lock_can_be_entered_again_by_the_process_that_holds_it(tmp_path):
    with run_lock(tmp_path / "run"), run_lock(tmp_path / "." / "run"):
        pass
    with run_lock(tmp_path / "run"):
        pass


def test_a_folder_in_which_nothing_was_written_goes_with_its_lock(tmp_path):
    with pytest.raises(KeyError), run_lock(tmp_path / "run"):
        raise KeyError
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    with run_lock(tmp_path / "run"):
        pass
    assert (tmp_path / "run").exists()


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(NotADirectoryError, match="a file stands there"), run_lock(tmp_path / "run"):
        pass
