"""What is left of several processes ends with one sentence and a status of its own."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.no_room import NoRoomError
from motiongpt3_jax.parallel import peer_failure
from motiongpt3_jax.parallel.peer_failure import exit_on_peer_failure
from motiongpt3_jax.statuses import FAILED, PEER_LOST, WRONG_INPUT

ROOT = Path(__file__).parents[2]

ABORT = """
import ctypes, os, sys, threading
from motiongpt3_jax.parallel.peer_failure import exit_where_the_runtime_aborts
exit_where_the_runtime_aborts()
abort = ctypes.CDLL(None).abort
if sys.argv[1] == "main":
    abort()
thread = threading.Thread(target=abort)
thread.start()
thread.join()
"""


def abort(thread: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", ABORT, thread], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_an_abort_in_a_thread_of_the_runtime_is_a_sentence_and_a_status():
    ended = abort("other")
    assert ended.returncode == PEER_LOST
    assert ended.stderr.startswith("this process cannot go on (JAX ended it, see above). ")
    assert ended.stderr.endswith("the same command continues from the last checkpoint.\n")


@pytest.mark.slow
def test_an_abort_of_the_main_thread_stays_one():
    assert abort("main").returncode == -6


@pytest.fixture
def two_processes(monkeypatch):
    """This process is one of two, and `os._exit` raises."""

    def leave(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(peer_failure, "_ENDING", [])


def test_an_error_of_a_single_process_stays_what_it_is():
    for kind in (jax.errors.JaxRuntimeError, NoRoomError):
        with pytest.raises(kind), exit_on_peer_failure():
            raise kind("INTERNAL: a fault")


@pytest.mark.parametrize("kind", [jax.errors.JaxRuntimeError, ValueError])
def test_a_failed_collective_ends_one_of_several_processes(two_processes, capfd, kind):
    with pytest.raises(SystemExit, match=str(PEER_LOST)), exit_on_peer_failure():
        raise kind("UNKNOWN: Connection closed by peer\nstack")
    error = capfd.readouterr().err
    assert error.startswith("process 0 of 2 cannot go on (UNKNOWN: Connection closed by peer). Unless")
    assert "stack" not in error


def test_one_of_several_processes_without_room_waits_for_nobody(two_processes, capfd):
    with pytest.raises(SystemExit, match=str(WRONG_INPUT)), exit_on_peer_failure():
        raise NoRoomError("the disk is full")
    assert capfd.readouterr().err == "process 0 of 2: the disk is full\n"


def test_errors_of_a_process_itself_pass_and_its_status_is_theirs(two_processes):
    for error, status in ((UserError("wrong"), WRONG_INPUT), (TypeError("fault"), FAILED)):
        peer_failure._ENDING.clear()
        with pytest.raises(type(error)), exit_on_peer_failure():
            raise error
        assert peer_failure._ENDING[0] == status
