"""A run of the smallest MotionLLM."""

import pytest

from tests.trained import trained_once

LANGUAGE = ("pretrain", "t2m", "m2t")
FEW = (
    *(f"stages.{stage}.steps=40" for stage in LANGUAGE),
    "stages.tokenizer.steps=60",
    *(f"stages.{stage}.optimizer.schedule=constant" for stage in ("tokenizer", *LANGUAGE)),
    *(f"stages.{stage}.optimizer.learning_rate=0.01" for stage in ("tokenizer", *LANGUAGE)),
    *(
        f"stages.{stage}.{when}=100"
        for stage in ("tokenizer", *LANGUAGE)
        for when in ("evaluate_every", "checkpoint_every")
    ),
    *(f"stages.{stage}.validation_batches=0" for stage in LANGUAGE),
    "stages.t2m.sample_every=0",
)
"""Steps in which a loss falls, and little that takes time beside."""


@pytest.fixture(scope="session")
def trained_motionllm(tmp_path_factory, worker_id):
    """Folder of a run with every stage of `motionllm:test`; the workers share it, so tests leave it as it is."""
    return trained_once("motionllm:test", FEW, tmp_path_factory, worker_id)
