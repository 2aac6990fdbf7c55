"""Questions laid out for inference, and replies read from their ids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

import numpy as np
from jaxtyping import Int

from motiongpt3_jax.batch import ClipRange, Example
from motiongpt3_jax.systems.motion_codes.layout import BREAK
from motiongpt3_jax.systems.motion_codes.pieces import (
    Part,
    Piece,
    encode_parts,
    encoded,
    join,
    plain,
    slots_of,
    split_at_motions,
)
from motiongpt3_jax.systems.motion_codes.prompts import Filling, fill_parts
from motiongpt3_jax.systems.motion_codes.tokens import DECODER_START, MotionTokens, codes_of
from motiongpt3_jax.text import Tokenizer
from motiongpt3_jax.text.subtasks import PLACEHOLDERS


@dataclass(frozen=True)
class QuestionParts:
    """A question with its motions, and the beginning of its answer.

    Attributes:
      text: the question, with a placeholder for each motion that enters.
      frames: of each clip to be encoded, in their order.
      masks: how many codes are hidden between two motions, see `prompts.hidden_codes`.
      motions: the codes of each motion that enters, where they are not those of one clip each.
      begins_motion: whether a motion follows, so that its start is there already.
      turns: earlier questions and answers, whose motions come first; they are read before the question.
      answer: what has been answered so far, whose motions come last.
    """

    text: str
    frames: Sequence[int] = ()
    masks: int = 0
    motions: Sequence[Piece] | None = None
    begins_motion: bool = False
    turns: Sequence[tuple[str, str]] = ()
    answer: str = ""


@dataclass(frozen=True)
class Questions:
    """Lays single questions out.

    Attributes:
      tokenizer: of the words.
      tokens: ids of motions.
      official: whether spaces before motions are tokens, as in the official code.
      text_break: stands between question and answer where both are one text.
    """

    tokenizer: Tokenizer
    tokens: MotionTokens
    official: bool = False
    text_break: str = BREAK

    def motions(self, frames: Sequence[int]) -> list[Piece]:
        """The codes of clips of so many frames that enter one after the other."""
        return [encoded(self.tokens, number, codes_of(count)) for number, count in enumerate(frames)]

    def pair(self, number: int, parts: QuestionParts) -> Example:
        """A question for a T5: all that its encoder reads, and what its decoder reads first."""
        fill = self._filler(parts)
        earlier = [part for before, reply in parts.turns for part in (*fill(before), " ", *fill(reply), " ")]
        question = self._encode([*earlier, *fill(parts.text)])
        prefix = [plain((DECODER_START,)), self._encode(fill(parts.answer)), self._start(parts)]
        streams = {
            "source": slots_of(join(question, plain((self.tokens.end,)))),
            "target": slots_of(join(*prefix)),
        }
        return Example(number, streams, clip_ranges(parts.frames))

    def one_text(self, number: int, parts: QuestionParts) -> Example:
        """A question for a decoder alone, up to where it goes on.

        It ends before the space that belongs to the first word of the reply; officially behind it.
        """
        fill = self._filler(parts)
        pieces = [] if self.tokens.begin is None else [plain((self.tokens.begin,))]
        for before, reply in parts.turns:
            pieces += [self._encode([*fill(before), self.text_break]), self._encode([" ", *fill(reply)])]
            pieces.append(plain((self.tokens.end,)))
        space = " " * (self.official and bool(self.text_break))
        pieces.append(self._encode([*fill(parts.text), self.text_break + space]))
        # The space belongs to the first word, whose piece may bring it along.
        prefix = " " * (not self.official) + parts.answer.lstrip(" ") if parts.answer else ""
        pieces.append(self._encode(fill(prefix)))
        return Example(number, {"tokens": slots_of(join(*pieces, self._start(parts)))}, clip_ranges(parts.frames))

    def _start(self, parts: QuestionParts) -> Piece:
        return plain((self.tokens.start_of_motion,) * parts.begins_motion)

    def _filler(self, parts: QuestionParts) -> Callable[[str], list[Part]]:
        """From a text to its parts; the motions of one text come behind those of the texts before it."""
        left = [*(self.motions(parts.frames) if parts.motions is None else parts.motions)]

        def fill(text: str) -> list[Part]:
            count = sum(PLACEHOLDERS.get(part, 0) for part in split_at_motions(text))
            taken, left[:] = left[:count], left[count:]
            return fill_parts(text, Filling(motions=taken, masks=parts.masks), self.tokens, self.official)

        return fill

    def _encode(self, parts: Sequence[Part]) -> Piece:
        return encode_parts(self.tokenizer, [parts], trim=not self.official)[0]


def clip_ranges(frames: Sequence[int]) -> tuple[ClipRange, ...]:
    """Where clips lie that come one after the other."""
    return tuple(ClipRange(*ends) for ends in pairwise(np.cumsum([0, *frames]).tolist()))


def read_reply(ids: Sequence[int], tokenizer: Tokenizer, tokens: MotionTokens) -> list[str | Int[np.ndarray, "codes"]]:
    """The words and the motions of a reply, in their order, up to its end.

    A motion begins at its start and goes on for as long as there are codes; one that was broken off counts. Codes
    without a start, masks and sentinels are left out.

    Args:
      ids: of the reply, with or without what the decoder reads first.
      tokenizer: of the words.
      tokens: ids of motions.
    """
    ids = [int(i) for i in ids]
    ids = ids[: ids.index(tokens.end)] if tokens.end in ids else ids

    def words(part: Sequence[int]) -> str:
        return tokenizer.decode([i for i in part if tokens.is_word(i)]).strip()

    starts = [place for place, i in enumerate(ids) if i == tokens.start_of_motion]
    reply: list[str | np.ndarray] = [words(ids[: starts[0]] if starts else ids)]
    for start, stop in pairwise([*starts, len(ids)]):
        behind = ids[start + 1 : stop]
        codes = [*takewhile(tokens.is_code, behind)]
        reply += [np.array(codes, np.int32) - tokens.first_code, words(behind[len(codes) :])]
    return [part for part in reply if len(part)]
