"""The vocabulary of a model's training captions: finds out-of-vocabulary words, and writes sentences as captions are.

Words are compared without case and punctuation. Emoji, numbers and words of any script are words.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from itertools import groupby
from pathlib import Path

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.saving import whole_file

WORDS = "words.json"
"""The file of a model's folder that holds them."""

EXAMPLES = 2
MOST_SAID = 8
"""Unknown words that a note names; it counts the others."""

ALIKE = 0.8
"""Share of letters in order that a word has in common with the one that may be meant."""

ASCII_WORD = re.compile(r"[a-z0-9']+")


@dataclass(frozen=True)
class CaptionWords:
    """Vocabulary of the captions that a model was trained on.

    Attributes:
      words: of its captions and instruction templates, in lower case, the commonest first.
      examples: a few of its captions.
      capitals: whether a caption has any.
      marks: the punctuation that captions have.
    """

    words: tuple[str, ...]
    examples: tuple[str, ...]
    capitals: bool = False
    marks: str = ""

    @classmethod
    def of(cls, captions: Iterable[str], templates: Iterable[str] = ()) -> "CaptionWords":
        """The words of some captions, and of templates without their placeholders."""
        captions = list(dict.fromkeys(captions))
        words = Counter(word for text in (*captions, *templates) for word in words_of(text))
        usual = sorted(map(len, captions))[len(captions) // 2] if captions else 0
        plain = [caption for caption in captions if len(caption) <= usual]
        # From all over the data, as neighbours are often captions of one motion.
        examples = [plain[len(plain) * (2 * n + 1) // (2 * EXAMPLES)] for n in range(min(EXAMPLES, len(plain)))]
        marks = filter(_is_mark, set().union(*captions))
        capitals = any(caption != caption.lower() for caption in captions)
        commonest = tuple(word for word, _ in words.most_common())
        return cls(commonest, tuple(dict.fromkeys(examples)), capitals, "".join(sorted(marks)))

    @cached_property
    def _word_set(self) -> frozenset[str]:
        return frozenset(self.words)

    def merge(self, other: "CaptionWords") -> "CaptionWords":
        """The union of two vocabularies: of a model, and of the one that its training began with."""
        marks = "".join(sorted({*self.marks, *other.marks}))
        words = tuple(dict.fromkeys((*self.words, *other.words)))
        return CaptionWords(words, self.examples, self.capitals or other.capitals, marks)

    def unknown(self, sentence: str) -> list[str]:
        """The words of a sentence that are none of these, once each, in lower case."""
        words = dict.fromkeys(words_of(sentence))
        return [word for word in words if not {word, word.removesuffix("'s")} & self._word_set]

    def rewrite(self, sentence: str) -> str:
        """Normalises a sentence to how captions are written: without capitals and punctuation that no caption has.

        A tokenizer gives "Jump!!!" other ids than "jump", which a model of lower-case captions never saw.
        """
        kept = sentence if self.capitals else sentence.lower()
        kept = "".join(" " if _is_mark(letter) and letter not in self.marks else letter for letter in kept)
        return sentence if kept.split() == sentence.split() or not words_of(kept) else " ".join(kept.split())

    def note(self, sentences: Sequence[str]) -> str:
        """What to tell of sentences with unknown words; empty when there are none."""
        unknown_by_sentence = {sentence: self.unknown(sentence) for sentence in sentences}
        words = list(dict.fromkeys(word for unknown in unknown_by_sentence.values() for word in unknown))
        if not words:
            return ""
        named = ", ".join(map(self._quote, words[:MOST_SAID]))
        more = f" and {len(words) - MOST_SAID} more words" if len(words) > MOST_SAID else ""
        verb = "is" if len(words) == 1 else "are"
        kinds = " and ".join(f'"{example}"' for example in self.examples)
        return f"{named}{more} {verb} in no caption that this model was trained on, and it may answer with anything" + (
            f"; its captions are such as {kinds}" if kinds else ""
        )

    def _quote(self, word: str) -> str:
        # Captions have slips of the pen too: of words that are alike the commonest is meant.
        similar = min(get_close_matches(word, self.words, cutoff=ALIKE), key=self.words.index, default="")
        return f"'{word}' ({similar}?)" if similar else f"'{word}'"


def words_of(text: str) -> list[str]:
    """The words of a text in lower case: runs of letters, digits and inner apostrophes, and runs of emoji."""
    if text.isascii():
        return [word for run in ASCII_WORD.findall(text.lower()) if (word := run.strip("'"))]
    # What shows nothing of itself joins letters or emoji of one word.
    text = "".join(letter for letter in unicodedata.normalize("NFC", text.lower()) if not _is_hidden(letter))
    runs = ("".join(run) for kind, run in groupby(text.replace("’", "'"), _kind) if kind)
    return [word for run in runs if (word := run.strip("'"))]


def _is_hidden(letter: str) -> bool:
    return unicodedata.category(letter) == "Cf" or "\ufe00" <= letter <= "\ufe0f"


def _is_mark(letter: str) -> bool:
    """Whether a character is punctuation, or a sign of a keyboard such as "+"."""
    category = unicodedata.category(letter)
    return category[0] == "P" or (category[0] == "S" and category != "So")


def _kind(letter: str) -> str:
    """The kind of word that a character belongs to; empty between words."""
    category = unicodedata.category(letter)
    if category[0] in "LMN" or letter == "'":
        return "letters"
    return "signs" if category == "So" else ""


def write_words(folder: Path, known: CaptionWords | None) -> None:
    """Writes a model's words into its folder; where they are not known, none of an earlier model stay there."""
    path = folder / WORDS
    if known is None:
        return path.unlink(missing_ok=True)
    content = {"examples": known.examples, "capitals": known.capitals, "marks": known.marks, "words": known.words}
    with whole_file(path, ".json") as fresh:
        fresh.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
    return None


def read_words(folder: Path) -> CaptionWords | None:
    """The words in a model's folder; None when it has no list of them, as older and imported ones.

    Raises:
      UserError: the file is damaged.
    """
    path = folder / WORDS
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is damaged ({error}); export or download the model anew") from None
    kinds = {"examples": list, "capitals": bool, "marks": str, "words": list}
    if not isinstance(content, dict) or not all(isinstance(content.get(name), kind) for name, kind in kinds.items()):
        raise UserError(f"'{path}' is damaged (no {', '.join(kinds)} in it); export or download the model anew")
    if not all(isinstance(text, str) for text in (*content["examples"], *content["words"])):
        raise UserError(f"'{path}' is damaged (a word is no text); export or download the model anew")
    return CaptionWords(tuple(content["words"]), tuple(content["examples"]), content["capitals"], content["marks"])
