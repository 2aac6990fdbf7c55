"""Parse captions of a recording: lines `caption#tokens#start#end`."""

import math
import os
from typing import NamedTuple

from motiongpt3_jax.data_pipelines.humanml3d.folder import Folder
from motiongpt3_jax.data_pipelines.problem import Problem
from motiongpt3_jax.motion.lfs import FETCH_IT, IS_POINTER, POINTERS
from motiongpt3_jax.text import odd_text

LONGEST = 1000
"""Letters of a caption; the longest of HumanML3D have four hundred."""

MOST_BYTES = 1 << 20
"""Most bytes of a recording's captions."""

MOST_SECONDS = 1e6
"""Longest time of a caption."""

FORM = "write caption#tokens#start#end, with 0.0#0.0 for the whole recording"
"""Advice on lines of another form."""


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
    """Read the captions of a recording, and what is wrong with lines that hold none."""
    file = folder.text_file(name)
    path = folder.root / file
    if not os.path.isfile(path):
        return [], [Problem(file, None, "does not exist", "add the file, or take its name out of the lists")]
    with open(path, "rb") as opened:
        content = opened.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        return [], [Problem(file, None, f"has more than {MOST_BYTES:,} bytes", FORM)]
    if content.startswith(POINTERS):
        return [], [Problem(file, None, IS_POINTER, FETCH_IT)]
    captions, problems = [], []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
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
    if len(text) > LONGEST:
        return f"has a caption of {len(text):,} letters", f"models read {LONGEST:,} at most: shorten it"
    odd = odd_text(text)
    if odd:
        return f"has a caption that holds {odd}", "leave it out"
    try:
        # The data set writes nan where it has no time.
        start, end = (0.0 if math.isnan(float(field)) else float(field) for field in fields[2:])
    except ValueError:
        return f"has times '{fields[2]}' and '{fields[3]}', which are not numbers", FORM
    if start == end == 0:
        return Caption(number, text, 0.0, 0.0)
    if not (0 <= start < end < MOST_SECONDS):
        return f"is about {start:g} to {end:g} s", "let it end after it starts, both from 0 on; " + FORM
    return Caption(number, text, start, end)
