"""Token ids: the words of the tokenizer, then the codes of motions, then start, end and mask of a motion.

With T5's tokenizer and 512 codes:

    0 .. 31999        <pad>, which begins what the decoder reads; </s>, which ends texts; <unk>; pieces of words
    32099 .. 32000    <extra_id_0> .. <extra_id_99>, the sentinels of span corruption
    32100 .. 32611    codes
    32612, 32613      before and behind the codes of a motion
    32614             in place of a code that is hidden

"""

from dataclasses import dataclass

from motiongpt3_jax.text import Tokenizer
from motiongpt3_jax.text.tokenizer import UNIGRAM

DECODER_START = 0
"""The id that the decoder of a T5 reads first; it is <pad> too."""

FRAMES_PER_CODE = 4
"""Frames that a code stands for."""

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
    """

    words: int
    codes: int
    end: int
    specials: frozenset[int] = frozenset()
    sentinels: tuple[int, ...] = ()

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

    @property
    def first_code(self) -> int:
        """The id of code 0."""
        return self.words

    @property
    def start_of_motion(self) -> int:
        """Stands before the codes of a motion."""
        return self.words + self.codes

    @property
    def end_of_motion(self) -> int:
        """Stands behind the codes of a motion."""
        return self.words + self.codes + 1

    @property
    def mask(self) -> int:
        """Stands for a hidden code."""
        return self.words + self.codes + 2

    @property
    def size(self) -> int:
        """Number of all ids."""
        return self.mask + 1


def codes_of(frames: int) -> int:
    """How many codes a motion of so many frames has: its last frame is repeated up to a multiple of four."""
    return -(-frames // FRAMES_PER_CODE)
