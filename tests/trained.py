"""A run of the smallest config, trained once for all tests, and the commands that do so."""

import contextlib
import io
from collections import Counter

import pytest
from filelock import FileLock

from motiongpt3_jax.__main__ import main


def call(*arguments: str) -> tuple[int, str, str]:
    """(exit status, standard output, standard error) of a command."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = main([str(argument) for argument in arguments])
    return status, out.getvalue(), error.getvalue()


@pytest.fixture(scope="session")
def trained(tmp_path_factory, worker_id):
    """Folder of a run with every stage of `motiongpt3:test`; the workers share it, so tests leave it as it is."""
    alone = worker_id == "master"
    shared = tmp_path_factory.getbasetemp() if alone else tmp_path_factory.getbasetemp().parent
    folder, done = shared / "trained" / "test", shared / "trained" / "done"
    done.parent.mkdir(exist_ok=True)
    with FileLock(f"{done}.lock"):
        if not done.exists():
            status, _, error = call("train", "--config", "motiongpt3:test", "--workdir", folder)
            assert status == 0, error
            done.touch()
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the files that need the run, one comes first and the others last: while it trains, the other worker tests."""
    needing = Counter(item.path for item in items if "trained" in getattr(item, "fixturenames", ()))
    first = max(needing, key=needing.__getitem__, default=None)
    items.sort(key=lambda item: 0 if item.path == first else 1 + (item.path in needing))
