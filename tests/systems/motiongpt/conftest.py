"""A small tokenizer of T5's kind, and the ids of few codes behind its own."""

import pytest

from motiongpt3_jax.systems.motiongpt.tokens import TOKEN_SPEC, MotionTokens
from motiongpt3_jax.text import Tokenizer, train_tokenizer

CAPTIONS = ["a person walks forward and turns left", "someone raises both arms twice", "a man kicks, then bows"]
CODES = 8


@pytest.fixture(scope="package")
def tokenizer() -> Tokenizer:
    return train_tokenizer(CAPTIONS * 20, 300, TOKEN_SPEC)


@pytest.fixture(scope="package")
def tokens(tokenizer) -> MotionTokens:
    return MotionTokens.of(tokenizer, CODES)
