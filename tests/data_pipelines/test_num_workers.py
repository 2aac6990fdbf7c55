"""Worker processes are begun unasked only where they help and can do no harm."""

import os
import sys
from types import SimpleNamespace

import pytest

from motiongpt3_jax.data_pipelines import num_workers as module
from motiongpt3_jax.data_pipelines.num_workers import num_workers

NOTEBOOK = SimpleNamespace(__spec__=None)


@pytest.fixture
def machine(monkeypatch):
    """Sets cores, free shared memory and the main module."""

    def make(cores, free=2**40, main=NOTEBOOK):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
        monkeypatch.setattr(module, "_shared_memory", lambda: free)
        monkeypatch.setitem(sys.modules, "__main__", main)

    return make


@pytest.mark.parametrize(("cores", "processes"), [(2, 0), (7, 0), (8, 4), (16, 8), (224, 16)])
def test_half_of_the_cores_read_for_an_accelerator_from_eight_on(machine, cores, processes):
    machine(cores)
    assert num_workers(-1, accelerated=True) == processes
    assert num_workers(-1, accelerated=False) == 0


def test_a_number_that_is_asked_for_is_kept(machine):
    machine(2, free=0)
    assert [num_workers(asked, accelerated=False) for asked in (0, 3)] == [0, 3]


def test_little_shared_memory_begins_none(machine):
    machine(16, free=64 * 2**20)
    assert num_workers(-1, accelerated=True) == 0


@pytest.mark.parametrize(
    ("main", "processes"),
    [
        (SimpleNamespace(__spec__=None, __file__="/usr/bin/motiongpt3"), 8),
        (SimpleNamespace(__spec__=SimpleNamespace(name="motiongpt3_jax.__main__")), 8),
        (SimpleNamespace(__spec__=None, __file__="/home/me/train_it.py"), 0),
        (SimpleNamespace(__spec__=SimpleNamespace(name="mine.train")), 0),
    ],
)
def test_a_script_begins_none_unasked_as_its_processes_would_run_it_again(machine, main, processes):
    machine(16, main=main)
    assert num_workers(-1, accelerated=True) == processes
