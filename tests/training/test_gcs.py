"""A run in a bucket of Google Cloud Storage, by the command, against an emulator: Orbax's own checkpoints there too."""

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[2]
RUN = "gs://motion/runs/one"
FEW = ("run=('vae',)", "stages.vae.checkpoint_every=2", "stages.vae.optimizer.schedule=constant")


@pytest.fixture
def store():
    """Environment in which `gs://` is the emulator's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = [sys.executable, "-m", "tests.gcs_emulator", str(port)]
    serving = subprocess.Popen(server, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.1)
    address = f"http://127.0.0.1:{port}"
    yield os.environ | {"TENSORSTORE_GCS_HTTP_URL": address, "STORAGE_EMULATOR_HOST": address, "NO_GCE_CHECK": "true"}
    serving.kill()


def command(environment, *arguments):
    """What a command prints; it succeeds."""
    call = [sys.executable, "-m", "motiongpt3_jax", *map(str, arguments)]
    done = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def train(environment, place, steps):
    """Trains a run to so many steps."""
    values = [f"--config.{value}" for value in (*FEW, f"stages.vae.steps={steps}")]
    return command(environment, "train", "--config", "motiongpt3:test", "--workdir", place, *values)


@pytest.mark.slow
@pytest.mark.gcs
def test_a_run_in_a_bucket_goes_on_from_another_machine_and_ends_like_a_local_one(store, tmp_path):
    first, second = (store | {"XDG_CACHE_HOME": str(tmp_path / name)} for name in ("first", "second"))
    train(first, RUN, 4)
    assert "vae continues at step 4 of 6" in train(second, RUN, 6)
    train(os.environ, tmp_path / "local", 6)
    for name, environment, place in (("far", first, RUN), ("near", os.environ, tmp_path / "local")):
        command(environment, "export", "--model", place, "--format", "safetensors", "--out", tmp_path / name)
    far, near = (load_file(tmp_path / name / "model.safetensors") for name in ("far", "near"))
    assert far.keys() == near.keys()
    for name, array in near.items():
        np.testing.assert_array_equal(far[name], array, err_msg=name)
