"""Recognise which actions an English sentence names, by regular expressions."""

import re
from dataclasses import dataclass

from motiongpt3_jax.evaluation.reader.reading import ActionSegment, Reading

_NEXT = re.compile(r",?\s*\b(?:and\s+)?(?:then|afterwards|after that)\b|[.;]")
_PACE = re.compile(r"\bat an? \w+ pace\b")
_TIMES = {"once": 1, "one time": 1, "twice": 2, "two times": 2, "three times": 3, "four times": 4, "five times": 5}

_AHEAD = {"forward": r"forward|ahead|front", "backward": r"backward|\bback\b|reverse"}
_ASIDE = {"left": r"\bleft\b", "right": r"\bright\b"}
_BOTH = {"both": r"\bboth\b|\barms\b|\bhands\b"}


@dataclass(frozen=True)
class Words:
    """Patterns of the words for an action.

    Attributes:
      action: its name.
      verb: pattern of the words that name it.
      directions: patterns of its directions; the first that matches counts.
      sides: patterns of the limbs that may do it.
    """

    action: str
    verb: str
    directions: dict[str, str] | None = None
    sides: dict[str, str] | None = None


WORDS = (
    Words("jumping-jack", r"jumping jack|star jump"),
    Words("march", r"\bmarch"),
    Words("kick", r"\bkick", {"sideways": r"\bside", **_AHEAD}, _ASIDE),
    Words("punch", r"\bpunch|\bbox(es|ing)\b", sides={**_ASIDE, **_BOTH}),
    Words("clap", r"\bclap|\bapplau"),
    Words("squat", r"\bsquat"),
    Words("lunge", r"\blung", sides=_ASIDE),
    Words("bow", r"\bbow"),
    Words("sit", r"\bsit|\bseat|\bchair"),
    Words("wave", r"\bwav(e|es|ing)\b", sides={**_ASIDE, **_BOTH}),
    Words("crouch-walk", r"\bcrouch|\bsneak|\bcreep", _AHEAD),
    Words("hop", r"\bhop", {"forward": _AHEAD["forward"]}, _ASIDE),
    Words("jump", r"\bjump|\bleap", {**_AHEAD, **_ASIDE, "up": r"\bup\b|in place|into the air"}),
    Words("side-step", r"\bside ?step|\bsteps? sideways|\bshuffl|\bmov(e|es|ing) sideways", _ASIDE),
    Words("turn", r"\bturn|\brotat|\bpivot", {"around": r"\baround\b", **_ASIDE}),
    Words(
        "raise",
        r"\b(rais|lift|stretch|extend|puts?\b|putting).*\b(arm|hand)",
        {"sideways": r"\bside", "up": r"\bup\b|overhead|above|\bover\b"},
        {**_ASIDE, **_BOTH},
    ),
    Words("run", r"\brun|\bjog|\bsprint", _AHEAD),
    Words("walk", r"\bwalk|\bstroll|\bpac(e|es|ing)\b|\bsteps?\b", _AHEAD),
)
"""Patterns of each action; the first that fits a clause names it."""


def read_caption(text: str) -> Reading:
    """The actions that a sentence names, in order; none when no word of it names one."""
    segments = (_clause(clause) for clause in _NEXT.split(text.lower()))
    return Reading(tuple(segment for segment in segments if segment))


def _clause(clause: str) -> ActionSegment | None:
    clause = _PACE.sub("", clause)
    words = next((words for words in WORDS if re.search(words.verb, clause)), None)
    if words is None:
        return None
    direction = _first(words.directions, clause)
    count = next((count for times, count in _TIMES.items() if times in clause), None)
    return ActionSegment(words.action, direction, _first(words.sides, clause), count)


def _first(patterns: dict[str, str] | None, clause: str) -> str | None:
    return next((name for name, pattern in (patterns or {}).items() if re.search(pattern, clause)), None)
