"""Rule-based task decomposition: a long request as atomic motions, by the words that put one after another.

Sentences, lines, semicolons and words such as "then" and "after that" separate motions; "and", commas and "while" do
not, for what they join may happen at once.
"""

import re
from dataclasses import dataclass

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.text.odd_text import odd_text


@dataclass(frozen=True)
class Step:
    """One atomic motion of a plan.

    Attributes:
      sentence: what it shows.
      seconds: how long it is to take; None where nobody says.
    """

    sentence: str
    seconds: float | None = None


SOMEBODY = "a person"
"""Who is told to move by an imperative."""

_LIST = re.compile(r"^\s*(?:\d{1,3}[.)]|[-*•])\s+", re.MULTILINE)
_NEXT = r"(?:after (?:that|this|which)|afterwards?|next|finally|lastly|subsequently|thereafter)"
_BREAK = re.compile(
    r"\s*(?:[.!?;]+(?=\s|$)|\n)+\s*|"
    rf",?\s+(?:and\s+|but\s+)?(?:then|{_NEXT})\b,?\s*",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"^(?:(?:and|first(?:ly)?|second(?:ly)?|third(?:ly)?|then|to (?:begin|start) with|please|"
    rf"{_NEXT})\b[,:]?(?:\s+|$))+(?!person)",
    re.IGNORECASE,
)
_NUMBERS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
_NUMBERS |= {"nine": 9, "ten": 10, "half a": 0.5}
_DURATION = re.compile(
    rf",?\s*\b(?:for|in|within|during)\s+(?:about |around )?(\d+(?:\.\d+)?|{'|'.join(_NUMBERS)})"
    r"\s*(?:seconds?|secs?|s)\b",
    re.IGNORECASE,
)
_NAMES = r"person|man|woman|human|figure|guy|girl|boy|lady|child|kid|individual|character|people|men|women|dancer|actor"
_SUBJECT = re.compile(
    rf"^((?:the|a|an|one|two|this|that|another|some)\s+(?:[\w-]+\s+){{0,2}}?(?:{_NAMES})|someone|somebody|"
    r"(?:first|second) person|person (?:one|two)|he|she|they|it|both|everyone)\b(?!')",
    re.IGNORECASE,
)
_PRONOUN = re.compile(r"^(?:he|she|they|it|the (?:person|man|woman|figure|human))$", re.IGNORECASE)
_NO_VERB = re.compile(
    r"^(?:the|an?|his|her|their|its|one|to|towards?|with|in|on|at|left|right|forwards?|back(?:wards?)?|up|down|"
    r"sideways|again|twice|once|\d+)\b",
    re.IGNORECASE,
)
_VERB = re.compile(r"^((?:[a-z]+ly\s+)*)([a-z]+)(?=\s|$|,)", re.IGNORECASE)
_FINITE = re.compile(r"(?:[^s]s|ing|ed)$")
_IRREGULAR = {"be": "is", "have": "has"}


def split_request(request: str) -> list[Step]:
    """Splits a request into atomic motions, in their order.

    Whoever moves in the first of them moves in all that name nobody. An imperative is told of "a person". "For 3
    seconds" is not left in the sentence: it is how long the motion takes.

    Raises:
      UserError: the request is empty, or holds what is no text.
    """
    odd = odd_text(request)
    if odd:
        raise UserError(f"the request holds {odd}: leave it out")
    parts = [_OPENING.sub("", part).strip(" ,") for part in _BREAK.split(_LIST.sub("\n", request))]
    steps: list[Step] = []
    subject = ""
    for part in filter(None, parts):
        sentence, seconds = _take_duration(part)
        if not sentence and steps:
            # "Walk. For 3 seconds." says more of the motion before.
            steps[-1] = Step(steps[-1].sentence, seconds)
            continue
        if steps and _NO_VERB.match(sentence) and not _SUBJECT.match(sentence):
            # "Raises the left arm and then the right arm" is one motion: nothing says alone what the second part does.
            steps[-1] = Step(f"{steps[-1].sentence} and then {sentence}", seconds or steps[-1].seconds)
            continue
        sentence, subject = _with_subject(sentence, subject)
        steps.append(Step(sentence, seconds))
    if not any(step.sentence for step in steps):
        raise UserError("the request is empty; write what the motion should show")
    return steps


def _take_duration(part: str) -> tuple[str, float | None]:
    """A clause without how long it takes, and that in seconds."""
    match = _DURATION.search(part)
    if not match:
        return part, None
    word = match[1].lower()
    rest = f"{part[: match.start()]} {part[match.end() :]}"
    return " ".join(rest.split()).strip(" ,"), float(_NUMBERS.get(word) or word)


def _with_subject(clause: str, subject: str) -> tuple[str, str]:
    """(A clause with whoever moves in it, who that is for the clauses to come)."""
    clause = clause[:1].lower() + clause[1:]
    named = _SUBJECT.match(clause)
    if named and subject and _PRONOUN.match(named[1]):
        rest = clause[named.end() :].strip()
        return f"{subject} {_third_person(rest, subject) if named[1] == 'they' else rest}", subject
    if named:
        return clause, named[1]
    return f"{subject or SOMEBODY} {_third_person(clause, subject)}", subject or SOMEBODY


def _third_person(clause: str, subject: str) -> str:
    """A clause without a subject: an imperative's verb as it is told of a person."""
    match = _VERB.match(clause)
    plural = re.match(r"(?:two|both|they)\b|.*\b(?:people|men|women)$", subject, re.IGNORECASE)
    if not match or plural or _FINITE.search(match[2].lower()):
        return clause
    verb = match[2].lower()
    if verb in _IRREGULAR:
        verb = _IRREGULAR[verb]
    elif re.search(r"(?:s|x|z|ch|sh|[^aeiou]o|^go|^do)$", verb):
        verb += "es"
    else:
        verb = f"{verb[:-1]}ies" if re.search(r"[^aeiou]y$", verb) else f"{verb}s"
    return f"{match[1]}{verb}{clause[match.end() :]}"
