"""Staged training of any system: stages, the loop, and the checkpoints that it leaves."""

from motiongpt3_jax.training.data import Data
from motiongpt3_jax.training.interrupts import TrainingInterrupted, stop_at_sigterm
from motiongpt3_jax.training.lock import run_lock
from motiongpt3_jax.training.loop import Hooks, TrainingDiverged, run
from motiongpt3_jax.training.references import Outside
from motiongpt3_jax.training.restore import restore_params, restore_variables
from motiongpt3_jax.training.stage import OptimizerConfig, Stage

__all__ = [
    "Data",
    "Hooks",
    "OptimizerConfig",
    "Outside",
    "Stage",
    "TrainingDiverged",
    "TrainingInterrupted",
    "restore_params",
    "restore_variables",
    "run",
    "run_lock",
    "stop_at_sigterm",
]
