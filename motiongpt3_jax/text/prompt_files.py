"""Parsing of prompt files: a sentence a line, with the length in the formats of MoMask and MLD."""

import re
from collections.abc import Sequence
from typing import NamedTuple

FPS = 20
"""Frames in a second of the lengths in such files."""

_AT_THE_END = re.compile(r"(?P<sentence>.*\S)\s*#\s*(?P<frames>\d+|NA)\s*")
"""MoMask: `a person walks#120`, and `#NA` where the length is to be predicted."""

_IN_A_COLUMN = re.compile(r"\"?(?P<sentence>.*[^\s\"])\"?\s*[,;\t]\s*(?P<frames>\d+)\s*")
"""Tables: `a person walks,120`."""

_IN_FRONT = re.compile(r"(?P<frames>\d+)[ \t]+(?P<sentence>\S.*)")
"""MLD: `120 a person walks`."""


class Prompt(NamedTuple):
    """A sentence, and the length that is marked beside it.

    Attributes:
      sentence: what the motion is to show.
      frames: how long it is to be, at 20 frames a second; None where nothing says so.
    """

    sentence: str
    frames: int | None = None


def split_marks(lines: Sequence[str]) -> list[Prompt]:
    """Sentences without the marks of their length, where lines have such.

    A number can belong to a sentence, so one in front or in a column counts only where every line has one there that
    is a second or more.
    """
    ends = [_AT_THE_END.fullmatch(line) for line in lines]
    for pattern in (_IN_A_COLUMN, _IN_FRONT):
        matches = [pattern.fullmatch(line) for line in lines]
        if lines and all(match and int(match["frames"][:9]) >= FPS for match in matches):
            return [_prompt(match) for match in matches]
    return [Prompt(line) if match is None else _prompt(match) for line, match in zip(lines, ends)]


def _prompt(match: re.Match[str]) -> Prompt:
    frames = match["frames"]
    return Prompt(match["sentence"].strip(), None if frames == "NA" else int(frames[:9]))
