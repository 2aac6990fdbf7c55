"""A small tokenizer of T5's kind, and the ids of few codes behind its own."""

import pytest

from motiongpt3_jax.systems.motion_codes.tokens import MotionTokens
from motiongpt3_jax.systems.motiongpt.kind import TOKENIZERS
from motiongpt3_jax.text import Tokenizer, train_tokenizer

CAPTIONS = ["a person walks forward and turns left", "someone raises both arms twice", "a man kicks, then bows"]
CODES = 8


@pytest.fixture(scope="package")
def tokenizer() -> Tokenizer:
    return train_tokenizer(CAPTIONS * 20, 300, TOKENIZERS["t5"])


@pytest.fixture(scope="package")
def tokens(tokenizer) -> MotionTokens:
    return MotionTokens.of(tokenizer, CODES)
