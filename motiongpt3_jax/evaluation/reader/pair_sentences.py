"""Recognise what two people do together in an English sentence, and who does it to whom, by regular expressions."""

import re
from dataclasses import dataclass

from motiongpt3_jax.evaluation.reader.reading import InteractionSegment, PairReading

_ASIDE = {"left": r"\bleft\b(?! behind| each)", "right": r"\bright\b"}
_HANDS = {"both": r"\bboth (?:hands|arms)\b", **_ASIDE}
_GAP = {"close": r"\bclose", "far": r"\bfar\b|\bafar\b|\bdistance\b"}
_WAYS = {
    "apart": r"\baway\b|\bapart\b|\bpart\b|\bleft behind\b|\bleaves?\b",
    "toward": r"\btowards?\b|\bup to\b|\bapproach|\bclose",
}
_AROUND = {"counterclockwise": r"\b(?:counter|anti)[- ]?clockwise\b", "clockwise": r"(?<![-\w])clockwise\b"}
_RAISED = {"sideways": r"\bside", "up": r"\bup\b|\boverhead\b|\babove\b|\bair\b"}

_TOGETHER = re.compile(
    r"\beach other|\bone another\b|\btogether\b|\bapart\b|\bpart\b|"
    r"\b(?:two people|two persons|pair of people|both people|the two)\b"
)
_FIRST = re.compile(r"\bfirst\b|\bperson one\b")
_SECOND = re.compile(r"\bsecond\b|\bperson two\b")
_PASSIVE = re.compile(r"\bis (?:\w+ ?){0,4}? by\b")


@dataclass(frozen=True)
class PairWords:
    """Patterns of the words for an interaction.

    Attributes:
      action: its name.
      verb: pattern of the words that name it.
      directions, sides, distances: patterns of these; the first that matches counts.
      mutual: whether both do it always.
      turned: pattern of a passive that leaves its subject the one who does it.
    """

    action: str
    verb: str
    directions: dict[str, str] | None = None
    sides: dict[str, str] | None = None
    distances: dict[str, str] | None = None
    mutual: bool = False
    turned: str = r"(?!)"


WORDS = (
    PairWords("high-five", r"\bhigh[- ]?five", sides=_HANDS, mutual=True),
    PairWords("shake-hands", r"\bhandshake|\bshak(?:e|es|ing)\b", sides=_HANDS, mutual=True),
    PairWords("pass-by", r"\bpast\b|\bpass(?:es)? (?:by |each|one another)|\bwalk by\b", sides=_ASIDE, mutual=True),
    PairWords(
        "mirror", r"\bmirror|\bimitat|\bcop(?:y|ies|ied)\b", _RAISED, _HANDS, turned=r"\bis (?:copied|mirrored)\b"
    ),
    PairWords("push", r"\bpush|\bshov", sides=_HANDS),
    PairWords(
        "hand-over", r"\bhands?\b.*\bsomething|\bgives?\b.*\bsomething|\bgiven\b.*\bsomething|\bobject", sides=_HANDS
    ),
    PairWords("follow", r"\bfollow|\bbehind\b(?! by)", distances=_GAP),
    PairWords("circle", r"\baround\b|\bcircle", _AROUND),
    PairWords("bow", r"\bbow"),
    PairWords("walk", r"\bwalk|\bapproach|\bcomes? closer|\bmoves?\b|\bleave", _WAYS),
)
"""Patterns of each interaction; the first that fits a sentence names it."""


def read_pair_caption(text: str) -> PairReading:
    """What a sentence says that two people do together; who does it is None where it does not say which of them."""
    text = text.lower()
    words = next((words for words in WORDS if re.search(words.verb, text)), None)
    if words is None:
        return PairReading()
    return PairReading(
        (
            InteractionSegment(
                words.action,
                "both" if words.mutual else _who(text, words),
                _first(words.directions, text),
                _first(words.sides, text),
                _first(words.distances, text),
            ),
        )
    )


def _who(text: str, words: PairWords) -> str | None:
    named = [
        (match.start(), who)
        for who, match in (("first", _FIRST.search(text)), ("second", _SECOND.search(text)))
        if match
    ]
    if not named:
        return "both" if _TOGETHER.search(text) or text.startswith("both ") else None
    subject = min(named)[1]
    passive = _PASSIVE.search(text) and not re.search(words.turned, text)
    return {"first": "second", "second": "first"}[subject] if passive else subject


def _first(patterns: dict[str, str] | None, text: str) -> str | None:
    return next((name for name, pattern in (patterns or {}).items() if re.search(pattern, text)), None)
