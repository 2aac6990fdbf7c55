"""Kept memory: a large block that is freed and asked for again costs no new pages."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from motiongpt3_jax.parallel.host_memory import keep_host_memory
if sys.argv[1] == "keep" and not keep_host_memory():
    sys.exit(3)
def touch():
    bytearray(64 << 20)
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip("only glibc's malloc can be asked to keep memory")
    return int(done.stdout)


@pytest.mark.slow
def test_large_blocks_are_not_mapped_anew():
    assert faults("keep") < 1000 < 4 * (64 << 20) // 4096 // 2 < faults("map")
