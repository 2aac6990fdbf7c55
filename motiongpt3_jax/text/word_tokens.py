"""Token ids by cached words: a text is cut where tokens never join, and each piece is tokenized once.

GPT-2's pre-tokenizer and T5's (Metaspace) both begin a new piece at a space that follows a word, so the ids of a text
are those of its words, each with the spaces before it, one after the other. What is not plain ASCII, and tokenizers with
other rules, are encoded as a whole.
"""

import re
from functools import cached_property

from tokenizers import pre_tokenizers

from motiongpt3_jax.text.tokenizer import BPE, UNIGRAM, Tokenizer

MOST_WORDS = 2**18
"""Words that are remembered; when there are more, all are forgotten."""

_PLAIN = {BPE: re.compile(r"[\n -~]*"), UNIGRAM: re.compile(r"[ -~]*")}
"""Texts whose words are found by `_WORD`, by the kind of tokenizer."""

_WORD = re.compile(r"[ \n]*[^ \n]+|[ \n]+")

Spans = tuple[tuple[int, ...], tuple[int, ...]]
"""The ids of a word, and where in it each ends, in characters."""


class WordTokens:
    """The ids of texts, the same as those of the tokenizer.

    Attributes:
      tokenizer: whose ids they are.
      additive: whether the ids of a text are those of its words.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.additive = joins_at_spaces(tokenizer)
        self._spans: dict[str, Spans] = {}

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

    def spans(self, word: str) -> Spans:
        """Ids and ends of a word; tokenized once."""
        found = self._spans.get(word)
        if found is None:
            if len(self._spans) > MOST_WORDS:
                self._spans.clear()
            ids, ends = self.tokenizer.encode_spans([word])[0]
            found = self._spans[word] = tuple(ids.tolist()), tuple(ends.tolist())
        return found

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        if not self.is_plain(text):
            return self.tokenizer.encode_batch([text])[0]
        return [i for word in self.words(text) for i in self.spans(word)[0]]

    def encode_until(self, text: str, stop: int) -> tuple[list[int], int]:
        """The ids of a text, and how many of them end at character `stop` or before."""
        if not self.is_plain(text):
            ids, ends = self.tokenizer.encode_spans([text])[0]
            return ids.tolist(), int((ends <= stop).sum())
        encoded: list[int] = []
        before, place = 0, 0
        for word in self.words(text):
            ids, ends = self.spans(word)
            encoded += ids
            if place + len(word) <= stop:
                before = len(encoded)
            elif place < stop:
                before += sum(place + end <= stop for end in ends)
            place += len(word)
        return encoded, before


def joins_at_spaces(tokenizer: Tokenizer) -> bool:
    """Whether no token of a plain text reaches over a space that follows a word."""
    backend = tokenizer.backend
    cut = backend.pre_tokenizer
    if tokenizer.kind == BPE:
        by_words = isinstance(cut, pre_tokenizers.ByteLevel) and cut.use_regex and not cut.add_prefix_space
        return by_words and backend.normalizer is None
    return isinstance(cut, pre_tokenizers.Metaspace) and cut.split and cut.prepend_scheme == "always"
