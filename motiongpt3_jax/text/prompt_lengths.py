"""Numbers of tokens of many filled templates at once, by look-ups: nothing is put together and nothing is tokenized.

A template's text is cut into words. Words without a placeholder have a fixed number of tokens; one with a caption's
placeholder has that of the caption between what stands before and behind it in that word, and there are few such pairs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from motiongpt3_jax.text.word_tokens import WordTokens

CAPTION = "<Caption_Placeholder>"

_PLACEHOLDER = re.compile(r"<(Caption|Frame|Framelen|Second)_Placeholder>")
_CAPTION = re.compile(r"[!-;=-~](?:[ -;=-~]*[!-;=-~])?")
"""ASCII without "<", which added tokens begin with, and without spaces at its ends."""

_CAPTION_WORD = re.compile(r"\n| *[^ \n]+")


class Frame(NamedTuple):
    """What stands before and behind a placeholder in its word, and which one it is."""

    before: str
    behind: str
    what: str


class CaptionLengths:
    """Tokens of captions between other characters.

    Attributes:
      words: tokenizes.
      texts: the captions.
      plain: which captions can be told; the others hold something odd.
      quotable: which have no quote of their own.
    """

    def __init__(self, words: WordTokens, texts: Sequence[str]) -> None:
        self.words = words
        told = words.additive
        self.plain = np.array([told and _CAPTION.fullmatch(text) is not None for text in texts], bool)
        self.quotable = np.array(['"' not in text for text in texts], bool)
        self.texts = texts
        self._between: dict[tuple[str, str], np.ndarray] = {}

    @cached_property
    def _found(self) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
        """(different words, the words of all captions, where those of each begin, where they end)."""
        joined = "\n".join(text if plain else "." for text, plain in zip(self.texts, self.plain.tolist()))
        found = _CAPTION_WORD.findall(joined)
        names = list(dict.fromkeys(found))
        place = {name: number for number, name in enumerate(names)}
        numbers = np.fromiter(map(place.__getitem__, found), np.int64, len(found))
        ends = np.append(np.flatnonzero(numbers == place.get("\n", -1)), len(numbers))
        return names, numbers, np.append(0, ends[:-1] + 1), ends

    @cached_property
    def _counts(self) -> Int[np.ndarray, "words"]:
        names = self._found[0]
        encoded = self.words.tokenizer.encode_batch(names)
        return np.array([len(ids) for ids in encoded])

    def between(self, before: str, behind: str) -> Int[np.ndarray, "captions"]:
        """Tokens of every caption with these characters around it."""
        key = before, behind
        if key not in self._between:
            self._between[key] = self._count(before, behind)
        return self._between[key]

    def _count(self, before: str, behind: str) -> Int[np.ndarray, "captions"]:
        _, numbers, begins, ends = self._found
        sums = np.append(0, np.cumsum(self._counts[numbers]))
        first, last, single = numbers[begins], numbers[ends - 1], ends - begins == 1
        counts = sums[ends] - sums[begins]
        several = counts + self._more(first, before, "") + self._more(last, "", behind)
        return np.where(single, counts + self._more(first, before, behind), several)

    def _more(self, chosen: Int[np.ndarray, "captions"], before: str, behind: str) -> Int[np.ndarray, "captions"]:
        """Tokens that characters around words add to each."""
        if not before and not behind:
            return np.zeros_like(chosen)
        used, inverse = np.unique(chosen, return_inverse=True)
        framed = [f"{before}{self._found[0][i]}{behind}" for i in used.tolist()]
        counts = np.array([len(ids) for ids in self.words.tokenizer.encode_batch(framed)])
        return (counts - self._counts[used])[inverse]


@dataclass(eq=False)
class TemplateLengths:
    """Tokens of texts with placeholders.

    Attributes:
      words: tokenizes.
      fps: frames in a second.
      texts: each template's runs of text, which are tokenized apart.
    """

    words: WordTokens
    fps: float
    texts: Sequence[Sequence[str]]
    _frames: list[Frame] = field(default_factory=list)

    @cached_property
    def _tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(tokens without placeholders, places in `_frames` or -1, whether it can be told) of every template."""
        constants, found, told = [], [], []
        for runs in self.texts:
            constant, frames, known = 0, [], True
            for word in (word for run in runs for word in self._words(run)):
                placeholders = [*_PLACEHOLDER.finditer(word)]
                if not placeholders:
                    constant += self.words.count(word)
                    continue
                known &= len(placeholders) == 1
                start, stop = placeholders[0].span()
                frames.append(Frame(word[:start], word[stop:], placeholders[0][1]))
            constants.append(constant)
            found.append(frames)
            told.append(known and all(self.words.is_plain(run) for run in runs))
        self._frames = list(dict.fromkeys(frame for frames in found for frame in frames))
        places = np.full((len(found), max((len(frames) for frames in found), default=0)), -1)
        for row, frames in zip(places, found):
            row[: len(frames)] = [self._frames.index(frame) for frame in frames]
        return np.array(constants, np.int64), places, np.array(told, bool)

    def _words(self, run: str) -> list[str]:
        return self.words.words(run) if self.words.is_plain(run) else []

    def count(
        self,
        templates: Int[np.ndarray, "samples"],
        captions: CaptionLengths,
        texts: Int[np.ndarray, "samples"],
        frames: Int[np.ndarray, "samples"],
        quoted: Bool[np.ndarray, "samples"],
    ) -> tuple[Int[np.ndarray, "samples"], Bool[np.ndarray, "samples"]]:
        """(tokens, whether they can be told) of each template with its caption and its length filled in.

        Args:
          templates: the template of each.
          captions: of the data set.
          texts: the caption of each, by its place.
          frames: told as its length.
          quoted: whether its caption is put in double quotes, if it has none.
        """
        constants, places, told = self._tables
        counts, known = constants[templates], told[templates]
        quoted = quoted & captions.quotable[texts]
        for column in places.T:
            place = column[templates]
            for number in np.unique(place[place >= 0]).tolist():
                frame, here = self._frames[number], np.flatnonzero(place == number)
                if frame.what != "Caption":
                    counts[here] += self._numbers(frame, frames[here])
                    continue
                known[here] &= captions.plain[texts[here]]
                plain = captions.between(frame.before, frame.behind)[texts[here]]
                marked = captions.between(f'{frame.before}"', f'"{frame.behind}')[texts[here]]
                counts[here] += np.where(quoted[here], marked, plain)
        return counts, known

    def _numbers(self, frame: Frame, frames: Int[np.ndarray, "samples"]) -> Int[np.ndarray, "samples"]:
        used, inverse = np.unique(frames, return_inverse=True)
        numbers = [f"{n // self.fps:.1f}" if frame.what == "Second" else str(n) for n in used.tolist()]
        words = [f"{frame.before}{number}{frame.behind}" for number in numbers]
        return np.array([self.words.count(word) for word in words], np.int64)[inverse]
