"""Token ids by cached words: a text is cut where tokens never join, and each piece is tokenized once.

GPT-2's pre-tokenizer and T5's (Metaspace) both begin a new piece at a space that follows a word, so the ids of a text
are those of its words, each with the spaces before it, one after the other. What is not plain ASCII is encoded as a
whole, and so is every text of a tokenizer with other rules.
"""

import re
from functools import cached_property
from itertools import chain

from tokenizers import pre_tokenizers

from motiongpt3_jax.text.tokenizer import BPE, UNIGRAM, Tokenizer

MOST_WORDS = 2**18
"""Words that are remembered; when there are more, all are forgotten."""

_PLAIN = {BPE: re.compile(r"[\n -~]*"), UNIGRAM: re.compile(r"[ -~]*")}
"""Texts whose words are found by `_WORD`, by the kind of tokenizer."""

_WORD = re.compile(r"[ \n]*[^ \n]+|[ \n]+")


class WordTokens:
    """The ids of texts, the same as those of the tokenizer.

    Attributes:
      tokenizer: whose ids they are.
      additive: whether the ids of a text are those of its words.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.additive = joins_at_spaces(tokenizer)
        self._ids = _WordIds(tokenizer)

    @cached_property
    def _special(self) -> re.Pattern[str]:
        """Added tokens, which are found in a text before all else."""
        added = (token.content for token in self.tokenizer.backend.get_added_tokens_decoder().values())
        return re.compile(f"({'|'.join(re.escape(token) for token in sorted(added, key=len, reverse=True)) or '(?!)'})")

    def is_plain(self, text: str) -> bool:
        """Whether a text is tokenized word by word."""
        return self.additive and _PLAIN[self.tokenizer.kind].fullmatch(text) is not None

    def words(self, text: str) -> list[str]:
        """A plain text cut up: added tokens, and words with the spaces before them."""
        if "<" not in text:
            return _WORD.findall(text)
        words = []
        for number, section in enumerate(self._special.split(text)):
            words += [section] if number % 2 else _WORD.findall(section)
        return words

    def count(self, word: str) -> int:
        """How many ids a word has."""
        return len(self._ids[word])

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return self._join(self.words(text)) if self.is_plain(text) else self.tokenizer.encode_batch([text])[0]

    def encode_until(self, text: str, stop: int) -> tuple[list[int], int]:
        """The ids of a text, and how many of them end at character `stop` or before."""
        by_words = self.tokenizer.kind == BPE and self.is_plain(text)
        parts = self._halves(text, stop) if by_words else None
        if parts is None:
            ids, ends = self.tokenizer.encode_spans([text])[0]
            return ids.tolist(), int((ends <= stop).sum())
        before, between, behind = parts
        first = self._join(self.words(before))
        ends = self._ids.ends(between)
        return [*first, *self._ids[between], *self._join(self.words(behind))], len(first) + sum(
            len(before) + end <= stop for end in ends
        )

    def _halves(self, text: str, stop: int) -> tuple[str, str, str] | None:
        """A text cut up around the spaces at `stop`, which are tokenized apart; None where they are not."""
        before, behind = text[:stop].rstrip(" \n"), text[stop:].lstrip(" \n")
        between = text[len(before) : len(text) - len(behind)]
        if not before or not between:
            return None
        if not behind or self._special.match(behind):
            return before, between, behind
        # The last space belongs to the word behind it.
        alone = between.endswith(" ") and len(before) + len(between) - 1 >= stop and len(between) > 1
        return (before, between[:-1], " " + behind) if alone else None

    def _join(self, words: list[str]) -> list[int]:
        return list(chain.from_iterable(map(self._ids.__getitem__, words)))


class _WordIds(dict[str, tuple[int, ...]]):
    """The ids of words that have been asked for."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer
        self._ends: dict[str, list[int]] = {}

    def __missing__(self, word: str) -> tuple[int, ...]:
        if len(self) > MOST_WORDS:
            self.clear()
        self[word] = tuple(self._tokenizer.encode_batch([word])[0])
        return self[word]

    def ends(self, word: str) -> list[int]:
        """Where, in characters, each id of a word ends."""
        if word not in self._ends:
            self._ends[word] = self._tokenizer.encode_spans([word])[0][1].tolist()
        return self._ends[word]

    def __reduce__(self) -> tuple:
        return _WordIds, (self._tokenizer,)


def joins_at_spaces(tokenizer: Tokenizer) -> bool:
    """Whether no token of a plain text reaches over a space that follows a word."""
    backend = tokenizer.backend
    cut = backend.pre_tokenizer
    if tokenizer.kind == BPE:
        by_words = isinstance(cut, pre_tokenizers.ByteLevel) and cut.use_regex and not cut.add_prefix_space
        return by_words and backend.normalizer is None
    return isinstance(cut, pre_tokenizers.Metaspace) and cut.split and cut.prepend_scheme == "always"
