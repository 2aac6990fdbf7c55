"""A run on a remote store trains, goes on from another machine and is read; a lease stands for the lock."""

import json
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
from etils import epath

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.mirror import fetch, open_mirror
from motiongpt3_jax.statuses import WRONG_INPUT
from motiongpt3_jax.training import Hooks, restore_variables, run
from motiongpt3_jax.training.lease import EXPIRES, LEASE, RENEWED, Lease
from tests.stores import bucket  # noqa: F401
from tests.training.test_damage import biggest, cut
from tests.training.toy import ToyData, ToySystem, two_stages

STEPS = 10


def stages():
    return [replace(stage, evaluate_every=STEPS // 2) for stage in two_stages(STEPS)]


class StopHere(Exception):
    """Training ends without saving, as where a machine is lost."""


def train(folder, stop=None):
    """Trains; `stop` is the step of the second stage at whose batch the machine is lost."""

    class Stopped(ToyData):
        def batch(self, step):
            if step == stop:
                raise StopHere
            return super().batch(step)

    lines = []
    hooks = Hooks(show=lines.append)
    run(ToySystem(), stages(), lambda of: Stopped() if of.name == "second" else ToyData(), folder, hooks=hooks)
    return lines


@pytest.fixture
def quick(monkeypatch):
    """Leases wait for nothing."""
    monkeypatch.setattr("motiongpt3_jax.training.lease.SETTLES", 0.0)


def numbers(folder):
    entries = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(entry["stage"], entry["step"], entry["kind"], entry.get("loss")) for entry in entries]


def test_a_run_on_a_store_ends_like_a_local_one(bucket, tmp_path, quick):  # noqa: F811
    folders = (tmp_path / "local", open_mirror("gs://bucket/run"))
    for folder in folders:
        few = replace(stages()[1], steps=2)
        run(ToySystem(), [few], lambda of: ToyData(), folder, hooks=Hooks(show=lambda line: None))
    jax.tree.map(np.testing.assert_array_equal, *map(restore_variables, folders))
    assert [path.name for path in (bucket / "run").iterdir()].count("metrics.jsonl") == 1
    assert (bucket / "run/checkpoints/second/2/manifest.json").is_file()
    assert not (folders[1] / "checkpoints").exists()
    assert not (bucket / "run" / LEASE).exists()


@pytest.mark.slow
def test_a_run_on_a_store_goes_on_from_another_machine_and_ends_like_a_local_one(
    bucket,  # noqa: F811
    tmp_path,
    monkeypatch,
    quick,
):
    train(tmp_path / "local")
    with pytest.raises(StopHere):
        train(open_mirror("gs://bucket/run"), stop=8)
    assert not list(open_mirror("gs://bucket/run").glob("checkpoints"))
    assert [path.name for path in (bucket / "run/checkpoints/second").iterdir()] == ["5"]
    assert not (bucket / "run" / LEASE).exists()
    # Another machine has no mirror yet, and finds a damaged checkpoint.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    cut(biggest(bucket / "run/checkpoints/second/5"))
    folder = open_mirror("gs://bucket/run")
    fetch(folder)
    lines = train(folder)
    assert sum("is damaged (" in line for line in lines) == 1
    assert (bucket / "run/checkpoints/second/damaged-5").is_dir()
    jax.tree.map(np.testing.assert_array_equal, restore_variables(folder), restore_variables(tmp_path / "local"))
    ours, local = ([entry for entry in numbers(x) if entry[2] != "time"] for x in (bucket / "run", tmp_path / "local"))
    assert ours == local
    assert list((bucket / "run/tensorboard/second").iterdir())


class Machine:
    """Seconds that pass when somebody sleeps, and what happens then."""

    def __init__(self):
        self.now, self.ended, self.then = 0.0, [], lambda: None

    def sleep(self, seconds):
        self.now += seconds
        self.then()

    def lease(self):
        folder = epath.Path("gs://bucket/run")
        return Lease(folder, self.sleep, lambda: self.now, lambda *end: self.ended.append(end))


def test_a_lease_that_is_renewed_is_refused_and_one_that_nobody_renews_is_free(bucket):  # noqa: F811
    machine = Machine()
    first, second = machine.lease(), machine.lease()
    first.acquire()
    machine.then = first.renew
    with pytest.raises(UserError, match=r"gs://bucket/run is being trained already \(process .* on .*\)"):
        second.acquire()
    machine.then = lambda: None
    began = machine.now
    second.acquire()
    assert EXPIRES <= machine.now - began <= EXPIRES + RENEWED
    # The first one is late, and must not go on.
    first.renew()
    assert machine.ended[0][0] == WRONG_INPUT
    second.renew()
    assert len(machine.ended) == 1


def test_of_two_that_take_a_free_lease_at_once_one_gives_up(bucket):  # noqa: F811
    machine = Machine()
    first, second = machine.lease(), machine.lease()
    machine.then = second._write
    with pytest.raises(UserError, match="was taken by another process at the same moment"):
        first.acquire()


def test_a_lease_ends_with_its_context(bucket, quick):  # noqa: F811
    with Lease(epath.Path("gs://bucket/run")):
        assert json.loads((bucket / "run" / LEASE).read_text())["renewals"] == 1
    assert not (bucket / "run" / LEASE).exists()
    shutil.rmtree(bucket)
