"""A run of the smallest MotionGPT."""

import pytest

from tests.trained import trained_once

FEW = (
    "run=('tokenizer', 'pretrain', 't2m')",
    *(f"stages.{stage}.steps={steps}" for stage, steps in (("tokenizer", 60), ("pretrain", 40))),
    *(f"stages.{stage}.optimizer.schedule=constant" for stage in ("tokenizer", "pretrain")),
    *(f"stages.{stage}.optimizer.learning_rate=0.01" for stage in ("tokenizer", "pretrain")),
    *(
        f"stages.{stage}.{when}=100"
        for stage in ("tokenizer", "pretrain")
        for when in ("evaluate_every", "checkpoint_every")
    ),
    "stages.t2m.validation_batches=0",
    "stages.tokenizer.sample_every=60",
    "stages.t2m.sample_every=0",
)
"""Steps in which a loss falls, and little that takes time beside."""


@pytest.fixture(scope="session")
def trained_motiongpt(tmp_path_factory, worker_id):
    """Folder of a run of `motiongpt:test` with every loss; the workers share it, so tests leave it as it is."""
    return trained_once("motiongpt:test", FEW, tmp_path_factory, worker_id)
