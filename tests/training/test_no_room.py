"""A full disk and a lack of memory are named in a sentence, and with room again a run ends with the same bits."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.no_room import NoRoomError, no_room_as_sentence, sentence_of
from motiongpt3_jax.training import Hooks, restore_variables, run
from tests.training.toy import ToyData, ToySystem, stage, two_stages

STEPS = 10


@dataclass(frozen=True)
class HungrySystem(ToySystem):
    """Asks for a petabyte in its loss."""

    def fit(self, variables, batch, draws, objective):
        terms = super().fit(variables, batch, draws, objective)
        wide = jnp.sin(jnp.arange(2**24) * batch.clip_frames.sum())
        wide = jnp.sort((wide[:, None] * wide[None, : 2**23]).ravel())
        return terms.replace(sums={**terms.sums, "fit": terms.sums["fit"] + 0 * wide[0] * wide[-1]})


def train(run_dir, system=None, samples=None):
    stages = [stage("first", steps=STEPS, sample_every=7), *two_stages(STEPS)[1:]]
    hooks = Hooks(show=lambda line: None, samples=samples)
    run(system or ToySystem(), stages, lambda stage: ToyData(), run_dir, hooks=hooks)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    return folder


def same(found, expected):
    jax.tree.map(np.testing.assert_array_equal, restore_variables(found), restore_variables(expected))


@pytest.mark.slow
def test_a_disk_that_is_full_at_a_page_of_samples_is_a_sentence_and_the_same_command_continues(tmp_path, whole):
    def full(stage, step, variables):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "samples/page.html"))

    with pytest.raises(NoRoomError, match=r"the disk of .*page.html is full \(.* GB free\), so stage 'first' stopped"):
        train(tmp_path, samples=full)
    train(tmp_path)
    same(tmp_path, whole)


def test_a_program_that_fits_no_device_is_a_sentence(tmp_path):
    with pytest.raises(NoRoomError, match=r"the devices have no memory left for stage 'first' \(.*rows.*accumulate"):
        train(tmp_path, HungrySystem())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "the disk of /run is full"),
        (ValueError('RESOURCE_EXHAUSTED: Error writing "/run/5": No space left on device'), "the disk of /run is full"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nmore"), "devices have no memory left for it"),
        (MemoryError("Unable to allocate 3 TiB"), r"no memory left for it \(Unable to allocate 3 TiB\)"),
    ],
)
def test_what_has_no_room_is_told(error, said):
    with pytest.raises(NoRoomError, match=said) as raised, no_room_as_sentence("it", Path("/run")):
        raise error
    assert "more" not in str(raised.value).split(". ")[0]
    assert "the same command continues" in str(raised.value)


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "denied"), ValueError("wrong"), RuntimeError("INTERNAL")])
def test_other_errors_stay_what_they_are(error):
    assert sentence_of(error, "it", Path("/run")) is None
    with pytest.raises(type(error)), no_room_as_sentence("it", Path("/run")):
        raise error


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


class FillingData(ToyData):
    """Leaves so many bytes of a disk free when a batch is read."""

    def batch(self, step):
        if step == FILL["step"]:
            free = shutil.disk_usage(FILL["folder"]).free
            (FILL["folder"] / "others").write_bytes(b"0" * max(free - FILL["left"], 0))
        return super().batch(step)


FILL: dict[str, object] = {}


@pytest.mark.slow
@pytest.mark.parametrize("left", [0, 4096, 20_000, 60_000, 100_000])
@pytest.mark.parametrize("step", [1, 6])
def test_a_full_disk_loses_nothing(small_disk, whole, left, step, capfd):
    FILL.update(folder=small_disk, left=left, step=step)
    stages = [stage("first", steps=STEPS, sample_every=7), *two_stages(STEPS)[1:]]
    hooks = Hooks(show=lambda line: None)
    with pytest.raises(NoRoomError, match=r"is full .* the same command continues"):
        run(ToySystem(), stages, lambda stage: FillingData(), small_disk / "run", hooks=hooks)
    assert "Traceback" not in capfd.readouterr().err
    (small_disk / "others").unlink()
    train(small_disk / "run")
    same(small_disk / "run", whole)
