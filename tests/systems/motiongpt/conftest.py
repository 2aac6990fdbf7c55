"""A small tokenizer of T5's kind, the ids of few codes behind its own, and a run of the smallest MotionGPT."""

import pytest

from motiongpt3_jax.systems.motiongpt.tokens import TOKENIZERS, MotionTokens
from motiongpt3_jax.text import Tokenizer, train_tokenizer
from tests.trained import trained_once

CAPTIONS = ["a person walks forward and turns left", "someone raises both arms twice", "a man kicks, then bows"]
CODES = 8


@pytest.fixture(scope="package")
def tokenizer() -> Tokenizer:
    return train_tokenizer(CAPTIONS * 20, 300, TOKENIZERS["t5"])


@pytest.fixture(scope="package")
def tokens(tokenizer) -> MotionTokens:
    return MotionTokens.of(tokenizer, CODES)


FEW = (
    *(f"stages.{stage}.steps={steps}" for stage, steps in (("tokenizer", 60), ("pretrain", 40))),
    *(f"stages.{stage}.optimizer.schedule=constant" for stage in ("tokenizer", "pretrain")),
    *(f"stages.{stage}.optimizer.learning_rate=0.01" for stage in ("tokenizer", "pretrain")),
    *(
        f"stages.{stage}.{when}=100"
        for stage in ("tokenizer", "pretrain")
        for when in ("evaluate_every", "checkpoint_every")
    ),
    *(f"stages.{stage}.validation_batches=0" for stage in ("instruct", "t2m")),
    "stages.tokenizer.sample_every=60",
    "stages.t2m.sample_every=0",
)
"""Steps in which a loss falls, and little that takes time beside."""


@pytest.fixture(scope="session")
def trained_motiongpt(tmp_path_factory, worker_id):
    """Folder of a run with every stage of `motiongpt:test`; the workers share it, so tests leave it as it is."""
    return trained_once("motiongpt:test", FEW, tmp_path_factory, worker_id)
