"""A run of the smallest config, trained once for all tests of a worker, and the commands that do so."""

import contextlib
import io

import pytest

from motiongpt3_jax.__main__ import main


def call(*arguments: str) -> tuple[int, str, str]:
    """(exit status, standard output, standard error) of a command."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = main([str(argument) for argument in arguments])
    return status, out.getvalue(), error.getvalue()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Folder of a run with every stage of `motiongpt3:test`."""
    folder = tmp_path_factory.mktemp("run") / "test"
    status, _, error = call("train", "--config", "motiongpt3:test", "--workdir", folder)
    assert status == 0, error
    return folder
