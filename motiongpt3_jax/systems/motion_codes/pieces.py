"""Texts with motions in them as token ids: words are tokenized, motions are put together from ids.

A slot that holds a code of a clip that is still to be encoded has a source: the number of the clip in its sample, and
the number of the code within the clip. Its id is that of code 0 until then.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int

from motiongpt3_jax.batch import Slots
from motiongpt3_jax.systems.motion_codes.tokens import MotionTokens
from motiongpt3_jax.text import Tokenizer
from motiongpt3_jax.text.subtasks import PLACEHOLDERS
from motiongpt3_jax.text.word_tokens import WordTokens


@dataclass(frozen=True, eq=False)
class Piece:
    """Token ids in a row, and what fills them.

    Attributes:
      ids: of words and motions.
      sources: (clip, code) of the encoded clip that fills each; (-1, 0) where the id stands for itself.
    """

    ids: Int[np.ndarray, "slots"]
    sources: Int[np.ndarray, "slots 2"]

    def __len__(self) -> int:
        return len(self.ids)

    def cut(self, which: slice | Bool[np.ndarray, "slots"]) -> "Piece":
        """Some of its slots."""
        return Piece(self.ids[which], self.sources[which])


Part = str | Piece
"""What a text with motions consists of: words, and ids."""

_MOTION = re.compile(f"({'|'.join(re.escape(name) for name, motions in PLACEHOLDERS.items() if motions)})")


def join(*pieces: Piece) -> Piece:
    """Pieces one behind the other."""
    if not pieces:
        return plain(())
    return Piece(np.concatenate([piece.ids for piece in pieces]), np.concatenate([piece.sources for piece in pieces]))


def plain(ids: Iterable[int]) -> Piece:
    """Ids that no clip fills."""
    array = np.array(list(ids), np.int32)
    sources = np.zeros((len(array), 2), np.int32)
    sources[:, 0] = -1
    return Piece(array, sources)


@lru_cache(maxsize=64)
def single(token: int) -> Piece:
    """One id; not to be written to."""
    return plain((token,))


def encoded(tokens: MotionTokens, clip: int, codes: int) -> Piece:
    """The codes of a clip that is still to be encoded."""
    sources = np.zeros((codes, 2), np.int32)
    sources[:, 0], sources[:, 1] = clip, np.arange(codes)
    return Piece(np.full(codes, tokens.first_code, np.int32), sources)


def known(tokens: MotionTokens, codes: Sequence[int]) -> Piece:
    """Codes that are there already."""
    return plain(np.asarray(codes, np.int32) + tokens.first_code)


def motion(tokens: MotionTokens, *codes: Piece) -> Piece:
    """A motion: its codes between start and end."""
    return join(single(tokens.start_of_motion), *codes, single(tokens.end_of_motion))


def masked_motion(tokens: MotionTokens, head: Piece, masks: int, tail: Piece) -> Piece:
    """A motion whose middle is hidden; beginning and end as two motions, where no id stands for what is hidden."""
    if tokens.mask is None:
        return join(motion(tokens, head), motion(tokens, tail))
    return motion(tokens, head, plain((tokens.mask,) * masks), tail)


@lru_cache(maxsize=4096)
def split_at_motions(template: str) -> tuple[str, ...]:
    """A template's texts, and between them the placeholders of its motions."""
    return tuple(_MOTION.split(template))


def encode_parts(tokenizer: Tokenizer | WordTokens, many: Sequence[Sequence[Part]], trim: bool) -> list[Piece]:
    """The ids of texts with motions.

    Args:
      tokenizer: of the words.
      many: the parts of each text.
      trim: whether spaces before a motion, and at the end, are left out. SentencePiece makes a token of its own of
        them, which says nothing.
    """
    texts: list[str] = []
    runs = [_runs(parts, trim, texts) for parts in many]
    encoded = [plain(tokenizer.encode(text)) for text in texts]
    return [join(*(encoded[run] if isinstance(run, int) else run for run in pieces)) for pieces in runs]


def _runs(parts: Sequence[Part], trim: bool, texts: list[str]) -> list[int | Piece]:
    """The pieces of one text, each run of words by its number in `texts`, to which it is appended."""
    runs: list[int | Piece] = []
    for text_or_piece in merge_words(parts, trim):
        if isinstance(text_or_piece, str):
            texts.append(text_or_piece)
            runs.append(len(texts) - 1)
        else:
            runs.append(text_or_piece)
    return runs


def merge_words(parts: Sequence[Part], trim: bool) -> list[Part]:
    """Parts without empty texts, and with neighbouring texts as one."""
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif not isinstance(part, str) or part:
            merged.append(part)
    if not trim:
        return merged
    stripped = [part.rstrip(" ") if isinstance(part, str) else part for part in merged]
    return [part for part in stripped if not isinstance(part, str) or part]


def slots_of(piece: Piece, attended: Bool[np.ndarray, "slots"] | None = None, **others: np.ndarray) -> Slots:
    """The slots of a whole sequence; all are attended where nothing else is said."""
    count = len(piece)
    return Slots(
        ids=piece.ids,
        positions=np.arange(count, dtype=np.int32),
        attended=np.ones(count, bool) if attended is None else attended,
        sources=piece.sources,
        **others,
    )
