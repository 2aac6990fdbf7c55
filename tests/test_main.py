"""The console command itself: its version, and streams that are closed, full, or know few letters."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from tests.trained import call

LIGHT = [sys.executable, "-m", "motiongpt3_jax"]
"""Words behind it that need no JAX are answered at once."""


def test_the_version_is_said():
    assert call("--version") == (0, f"motiongpt3 {version('motiongpt3_jax')}\n", "")


def test_a_closed_output_is_no_error():
    done = subprocess.run(
        ["bash", "-c", '"$@" --help >&-; echo $? >&2', "bash", *LIGHT], capture_output=True, text=True, check=False
    )
    assert done.stderr == "0\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_output_is_said_in_a_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run([*LIGHT, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize(
    ("coding", "word", "shown"),
    [
        ("ascii", "flé🦁", b"fl??"),
        ("cp1252", "flé🦁", b"fl\xe9?"),
        ("cp1252", "歩く", b"??"),
        ("cp437", "żółw", b"?\xa2?w"),
        ("utf-8", "歩く", "歩く".encode()),
    ],
)
def test_letters_that_a_console_cannot_show_are_replaced(coding, word, shown):
    environment = {**os.environ, "PYTHONIOENCODING": f"{coding}:strict"}
    done = subprocess.run([*LIGHT, word], capture_output=True, env=environment, check=False)
    assert done.returncode == 2
    assert b"there is no command '" + shown + b"'" in done.stderr


def test_a_file_name_that_is_no_unicode_can_be_printed(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.npy")
    asked = [*LIGHT, "convert", "--motion", path, "--to", "npz"]
    done = subprocess.run(asked, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"}, check=False)
    assert done.returncode == 2
    assert b"caf?.npy' does not exist" in done.stderr
