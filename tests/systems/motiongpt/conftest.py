"""A small tokenizer of T5's kind, the ids of few codes behind its own, and a run of the smallest MotionGPT."""

import pytest
from filelock import FileLock

import motiongpt3_jax
from motiongpt3_jax.systems.motiongpt.tokens import TOKENIZERS, MotionTokens
from motiongpt3_jax.text import Tokenizer, train_tokenizer

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
def run(tmp_path_factory, worker_id):
    """Folder of a run with every stage of `motiongpt:test`; the workers share it, so tests leave it as it is."""
    alone = worker_id == "master"
    shared = tmp_path_factory.getbasetemp() if alone else tmp_path_factory.getbasetemp().parent
    folder, done = shared / "motiongpt" / "test", shared / "motiongpt" / "done"
    done.parent.mkdir(exist_ok=True)
    with FileLock(f"{done}.lock"):
        if not done.exists():
            motiongpt3_jax.train("motiongpt:test", folder, FEW)
            done.touch()
    return folder
