"""Token ids: the words of the tokenizer, then the codes of motions, with start, end and mask of a motion.

With T5's tokenizer and 512 codes, as MotionGPT has them:

    0 .. 31999        <pad>, which begins what the decoder reads; </s>, which ends texts; <unk>; pieces of words
    32099 .. 32000    <extra_id_0> .. <extra_id_99>, the sentinels of span corruption
    32100 .. 32611    codes
    32612, 32613      before and behind the codes of a motion
    32614             in place of a code that is hidden

Behind Gemma 2's tokenizer, as MotionLLM has them (`marks_first`): 256000 and 256001 before and behind the codes of a
motion, which are 256002 .. 256513, and nothing for a code that is hidden.
"""

from dataclasses import dataclass

from motiongpt3_jax.text import Tokenizer
from motiongpt3_jax.text.tokenizer import UNIGRAM

DECODER_START = 0
"""The id that the decoder of a T5 reads first; it is <pad> too."""

FRAMES_PER_CODE = 4
"""Frames that a code stands for."""

MARKS = 2
"""Ids around the codes of a motion: its start and its end."""

SENTINELS = tuple(f"<extra_id_{number}>" for number in reversed(range(100)))
"""The last tokens of T5's tokenizer, which stand for the spans that span corruption hides; the last one comes first."""


@dataclass(frozen=True)
class MotionTokens:
    """Ids of the tokens that are no words.

    Attributes:
      words: ids of the tokenizer; those of motions follow.
      codes: number of codes.
      end: ends a text.
      specials: ids of the tokenizer that are no words: end, padding, sentinels.
      sentinels: ids of <extra_id_0>, <extra_id_1> ...; a decoder alone has none.
      begin: begins a text; None where nothing does.
      marks_first: whether start and end of a motion come before the codes; then hidden codes have no id.
      later: ids behind those of one person's motions, see `pair_tokens`.
    """

    words: int
    codes: int
    end: int
    specials: frozenset[int] = frozenset()
    sentinels: tuple[int, ...] = ()
    begin: int | None = None
    marks_first: bool = False
    later: int = 0

    @classmethod
    def of(cls, tokenizer: Tokenizer, codes: int) -> "MotionTokens":
        """Those behind the ids of a tokenizer."""
        ids = [tokenizer.backend.token_to_id(token) for token in reversed(SENTINELS)]
        sentinels = tuple(i for i in ids if i is not None)
        padding = (DECODER_START,) if tokenizer.kind == UNIGRAM else ()
        specials = frozenset((tokenizer.end, *padding, *sentinels))
        return cls(tokenizer.size, codes, tokenizer.end, specials, sentinels)

    def is_word(self, token: int) -> bool:
        """Whether an id is one of the tokenizer's words."""
        return token < self.words and token not in self.specials

    def is_code(self, token: int) -> bool:
        """Whether an id is a code of a motion."""
        return self.first_code <= token < self.first_code + self.codes

    @property
    def first_code(self) -> int:
        """The id of code 0."""
        return self.words + MARKS * self.marks_first

    @property
    def start_of_motion(self) -> int:
        """Stands before the codes of a motion."""
        return self.words if self.marks_first else self.words + self.codes

    @property
    def end_of_motion(self) -> int:
        """Stands behind the codes of a motion."""
        return self.start_of_motion + 1

    @property
    def mask(self) -> int | None:
        """Stands for a hidden code; None where nothing does."""
        return None if self.marks_first else self.words + self.codes + MARKS

    @property
    def size(self) -> int:
        """Number of all ids."""
        return self.words + self.codes + MARKS + (self.mask is not None) + self.later


def codes_of(frames: int) -> int:
    """How many codes a motion of so many frames has: its last frame is repeated up to a multiple of four."""
    return -(-frames // FRAMES_PER_CODE)
