"""Captions of two people in the other order."""

import re

_OTHER = {"first": "second", "second": "first", "one": "two", "two": "one"}
_ORDER = re.compile(r"\b(?:(?<=the )(first|second)|(?<=person )(one|two))\b", re.IGNORECASE)


def exchange_caption(text: str) -> str:
    """A sentence about the same two people in the other order: first and second take each other's places.

    One that does not say which of them is which, "one person ... the other", stays as it is.
    """
    return _ORDER.sub(lambda match: _OTHER[match.group().lower()], text)
