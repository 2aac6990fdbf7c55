"""A signal ends a run at a step that is saved, wherever it comes, and never where nothing is left to train."""

import os
import signal
import sys
import time
from dataclasses import replace

import jax
import numpy as np
import pytest

from motiongpt3_jax.training import Hooks, TrainingInterrupted, interrupts, restore_variables, run, stop_at_sigterm
from motiongpt3_jax.training.folders import last_step
from tests.training.toy import ToyData, ToySystem, two_stages

STEPS = 3


class SignalledData(ToyData):
    """Sends a signal that comes before the first step while that step's batch is read."""

    def batch(self, step):
        if step == 0:
            send(step)
        return super().batch(step)


AT: dict[int, int] = {}
"""The stage in which the signal comes, counted from 1, and the steps that it has done by then."""

READ: list[str] = []
"""Stages whose data were asked for."""


def send(step):
    """Sends the signal if this is where it comes."""
    if step == AT.get(len(READ)):
        os.kill(os.getpid(), signal.SIGTERM)


def train(run_dir, at=None):
    """Trains with a signal at (stage, steps done); gives what interrupted it, if anything did."""
    AT.clear()
    READ.clear()
    AT.update([at] if at else [])
    try:
        run(
            ToySystem(),
            [replace(stage, sample_every=1) for stage in two_stages(STEPS)],
            lambda stage: READ.append(stage.name) or SignalledData(),
            run_dir,
            hooks=Hooks(show=lambda line: None, samples=lambda stage, step, variables: send(step)),
        )
    except TrainingInterrupted as stopped:
        return str(stopped)
    return None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert train(folder) is None
    return folder


@pytest.mark.parametrize(
    ("at", "stopped", "saved"),
    [
        ((1, 0), "SIGTERM: stage 'first' stopped and saved at step 0 of 3", (None, None)),  # before the first step
        pytest.param(
            (1, 1), "SIGTERM: stage 'first' stopped and saved at step 2 of 3", (2, None), marks=pytest.mark.slow
        ),
        ((1, 2), "SIGTERM: stage 'first' stopped and saved at step 3 of 3", (3, None)),  # another stage is left
        pytest.param(
            (2, 0), "SIGTERM: stage 'second' stopped and saved at step 0 of 3", (3, None), marks=pytest.mark.slow
        ),
    ],
)
def test_a_signal_saves_and_the_next_call_ends_with_the_same_bits(tmp_path, whole, at, stopped, saved):
    assert train(tmp_path, at) == f"{stopped}; the same command continues."
    assert (last_step(tmp_path, "first"), last_step(tmp_path, "second")) == saved
    assert train(tmp_path) is None
    jax.tree.map(np.testing.assert_array_equal, restore_variables(tmp_path), restore_variables(whole))


def test_a_signal_in_the_last_step_of_all_is_no_interruption(tmp_path):
    assert train(tmp_path, (2, 2)) is None
    assert last_step(tmp_path, "second") == STEPS


def test_several_processes_are_asked_with_numbers_that_only_grow_from_one_stage_and_run_to_the_next(monkeypatch):
    numbers = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(interrupts.multihost_utils, "reached_preemption_sync_point", numbers.append)
    for _ in range(2):
        with interrupts.Interrupts() as stops:
            assert [stops.stop_reason() for _ in range(3)] == [None] * 3
    assert numbers[0] >= 1
    np.testing.assert_array_equal(np.diff(numbers), 1)


def test_sigterm_outside_of_the_steps_interrupts_and_then_means_what_it_meant():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TrainingInterrupted, match="SIGTERM: stopped; the same command continues"), stop_at_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


class Signals:
    """Sends SIGTERM where Python drops what its handler raises."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)


def signal_in_a_callback():
    Signals()
    time.sleep(20)


def test_where_processes_have_met_the_handler_stays_that_tells_the_others(monkeypatch):
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    before = signal.getsignal(signal.SIGTERM)
    with stop_at_sigterm():
        assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_in_a_callback_whose_errors_python_drops_is_not_lost():
    before = sys.unraisablehook
    with pytest.raises(TrainingInterrupted, match="SIGTERM: stopped"), stop_at_sigterm():
        signal_in_a_callback()
    assert sys.unraisablehook is before
