"""The ids of the one stream: words, marks, then the codes of motions."""

from collections.abc import Sequence
from dataclasses import dataclass

from motiongpt3_jax.text import Tokenizer, TokenSpec
from motiongpt3_jax.text.tokenizer import UNIGRAM

TURN, BEGIN, HALT = MARKS = ("<next_turn>", "<dance_begin>", "<dance_halt>")
SPEC = TokenSpec(MARKS, (UNIGRAM,))

BYTES = 256
"""Ids of UTF-8 bytes, for texts without a tokenizer; the end follows them."""


@dataclass(frozen=True)
class Alphabet:
    """Words to ids: those of a tokenizer, or UTF-8 bytes where there is none.

    Attributes:
      tokenizer: with the marks added; None for bytes.
      codes: how many codes there are; their ids come last.
    """

    tokenizer: Tokenizer | None
    codes: int

    @property
    def end(self) -> int:
        """Ends a text."""
        return self.tokenizer.end if self.tokenizer else BYTES

    @property
    def words(self) -> int:
        """Ids of words and of the end."""
        return self.tokenizer.base_vocabulary if self.tokenizer else BYTES + 1

    @property
    def first_code(self) -> int:
        """Id of code 0, behind the marks."""
        return self.words + len(MARKS)

    @property
    def size(self) -> int:
        """How many ids there are."""
        return self.first_code + self.codes

    def mark(self, token: str) -> int:
        """Id of a mark."""
        return self.words + MARKS.index(token)

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return self.tokenizer.encode(text) if self.tokenizer else list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, without any that are no words."""
        if self.tokenizer:
            return self.tokenizer.decode(ids)
        return bytes(i for i in ids if i < BYTES).decode(errors="replace")
