"""Token ids of MotionLLM: those of any language model's tokenizer, then <Motion>, </Motion>, <Motion_0> and on."""

from dataclasses import replace

import tokenizers

from motiongpt3_jax.systems.motion_codes.pair_tokens import PAIR_IDS, PairTokens
from motiongpt3_jax.systems.motion_codes.tokens import MotionTokens
from motiongpt3_jax.text import Tokenizer, TokenSpec
from motiongpt3_jax.text.tokenizer import BPE, CHARACTER_BPE

TOKEN_SPEC = TokenSpec(kinds=(BPE, CHARACTER_BPE))
"""The tokenizer of any language model that is read; ids of motions are counted on from its own, so it adds none."""

PADDING = "<pad>"
"""What the published code pads with, where the tokenizer has it."""


def motion_tokens(tokenizer: Tokenizer, codes: int, persons: int = 1) -> MotionTokens:
    """The ids behind those of a tokenizer: of one person's motions, and where there are two persons of both."""
    backend = tokenizer.backend
    begin = backend.token_to_id(tokenizer.begin) if tokenizer.begin else None
    specials = {i for i, token in backend.get_added_tokens_decoder().items() if token.special}
    return MotionTokens(
        tokenizer.size,
        codes,
        tokenizer.end,
        frozenset({*specials, tokenizer.end}),
        begin=begin,
        marks_first=True,
        later=PAIR_IDS if persons > 1 else 0,
    )


def pair_tokens(tokens: MotionTokens) -> PairTokens:
    """The ids of two people, behind those of one."""
    return PairTokens(tokens.size - tokens.later)


def with_motion_tokens(tokenizer: Tokenizer, tokens: MotionTokens) -> Tokenizer:
    """A tokenizer that reads and writes ids of motions as text, as the published code does: `<Motion_7>`."""
    backend = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
    backend.add_tokens(["<Motion>", "</Motion>", *(f"<Motion_{code}>" for code in range(tokens.codes))])
    return replace(tokenizer, backend=backend)
