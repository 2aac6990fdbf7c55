"""Captions of a recording: lines `caption#tokens#start#end`."""

import math
from typing import NamedTuple

from motiongpt3_jax.data_pipelines.humanml3d.folder import Folder
from motiongpt3_jax.data_pipelines.problem import Problem

FORM = "write caption#tokens#start#end, with 0.0#0.0 for the whole recording"


class Caption(NamedTuple):
    """A sentence about a recording, or about a part of it.

    Attributes:
      line: where it stands, from 1.
      text: the sentence.
      start: where its part begins, seconds.
      end: where its part ends; 0 is the whole recording.
    """

    line: int
    text: str
    start: float
    end: float


def read_captions(folder: Folder, name: str) -> tuple[list[Caption], list[Problem]]:
    """The captions of a recording, and what is wrong with lines that hold none."""
    file = folder.text_file(name)
    path = folder.root / file
    if not path.is_file():
        return [], [Problem(file, None, "does not exist", "add the file, or take its name out of the lists")]
    captions, problems = [], []
    for number, line in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        if line.strip():
            caption = _caption(number, line)
            if isinstance(caption, Caption):
                captions.append(caption)
            else:
                problems.append(Problem(file, number, *caption))
    if not captions:
        what = "has no caption left" if problems else "is empty"
        problems.append(Problem(file, None, what, FORM))
    return captions, problems


def _caption(number: int, line: bytes) -> Caption | tuple[str, str]:
    try:
        fields = line.decode("utf-8").strip().split("#")
    except UnicodeDecodeError as error:
        return f"is not UTF-8 at byte {error.start}", "save the file as UTF-8"
    if len(fields) != 4:
        return f"has {len(fields)} fields between '#', not 4", FORM
    text = fields[0].strip()
    if not text:
        return "has an empty caption", FORM
    try:
        # The data set writes nan where it has no time.
        start, end = (0.0 if math.isnan(float(field)) else float(field) for field in fields[2:])
    except ValueError:
        return f"has times '{fields[2]}' and '{fields[3]}', which are not numbers", FORM
    if start == end == 0:
        return Caption(number, text, 0.0, 0.0)
    if not (0 <= start < end < math.inf):
        return f"is about {start:g} to {end:g} s", "let it end after it starts, both from 0 on; " + FORM
    return Caption(number, text, start, end)
