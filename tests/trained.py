"""Runs of the smallest configs, trained once for all tests, and the commands that do so."""

import contextlib
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from filelock import FileLock

from motiongpt3_jax.__main__ import main


def call(*arguments: str) -> tuple[int, str, str]:
    """(exit status, standard output, standard error) of a command."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = main([str(argument) for argument in arguments])
    return status, out.getvalue(), error.getvalue()


def train(config: str, folder: Path, overrides: Sequence[str]) -> tuple[int, str, str]:
    """What the command that trains it gives."""
    return call("train", "--config", config, "--workdir", folder, *(f"--config.{value}" for value in overrides))


FEWER_PROGRAMS = (
    "run=('vae', 'text', 'align_bare')",
    "stages.text.validation_batches=0",
    "stages.vae.optimizer.muon=()",
)
"""A stage of each loss; the first and the last are validated."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory, worker_id):
    """Folder of a run of `motiongpt3:test` with each loss; the workers share it, so tests leave it as it is."""
    return trained_once("motiongpt3:test", FEWER_PROGRAMS, tmp_path_factory, worker_id)


def trained_once(
    config: str, overrides: Sequence[str], tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Path:
    """Folder of a run that the first worker to need it trains; the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    folder, done = shared / "trained" / config.replace(":", "_"), shared / "trained" / f"{config}.done"
    done.parent.mkdir(exist_ok=True)
    with FileLock(f"{done}.lock"):
        if not done.exists():
            status, _, error = train(config, folder, overrides)
            assert status == 0, error
            done.touch()
    return folder


RUNS = ("trained", "trained_motiongpt", "trained_motionllm")
"""Fixtures of runs that the workers share."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the files that need a run, one comes first and the others last: each worker trains one, and none waits."""
    first, others = [], set()
    for run in RUNS:
        needing = Counter(item.path for item in items if run in getattr(item, "fixturenames", ()))
        first += [path for path, _ in needing.most_common(1) if path not in first]
        others.update(needing)
    order = {path: place for place, path in enumerate(first)}
    items.sort(key=lambda item: order.get(item.path, len(order) + (item.path in others)))
