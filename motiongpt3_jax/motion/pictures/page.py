"""One HTML file that plays motions: no network, no server, no library."""

import base64
import html
import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path, PurePath
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.pictures.figure import as_figure
from motiongpt3_jax.motion.pictures.paint import BODIES
from motiongpt3_jax.motion.pictures.video import THREE_QUARTERS
from motiongpt3_jax.motion.saving import whole_file

MILLIMETRE = 0.001
"""Metres in a millimetre, the usual quantisation step."""

LARGEST = 32767
"""Largest signed 16-bit number."""


class Entry(NamedTuple):
    """One motion of a page.

    Attributes:
      caption: the sentence under it.
      motion: one or several persons.
      info: a line of smaller text below the caption.
      warning: likewise, set off: why the motion may not be what the caption says.
      section: heading above it, where that of the entry before is another.
      files: paths of its files, relative to the page, which links to them.
    """

    caption: str
    motion: Motion
    info: str = ""
    warning: str = ""
    section: str = ""
    files: tuple[str, ...] = ()


def write_page(path: str | Path, entries: Sequence[Entry | tuple], title: str = "Motions") -> None:
    """Write a self-contained page with an interactive player for each motion.

    Args:
      path: ends in .html; written whole or not at all.
      entries: what to show, in order; plain (caption, motion) or (caption, motion, info) tuples do as well.
      title: heading of the page.

    Raises:
      UserError: another ending, or no entries.
    """
    entries = [Entry(*entry) for entry in entries]
    if not entries:
        raise UserError(f"cannot write '{path}': there are no motions to show; give at least one (caption, motion).")
    with whole_file(path, ".html") as file:
        colours = [{side: "#" + bytes(colour).hex() for side, colour in body.items()} for body in BODIES]
        data = {
            "colours": colours,
            "view": THREE_QUARTERS,
            "entries": [encode_entry(entry) for entry in entries],
        }
        # "<" never appears inside the data, so no caption can end its script element.
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
        template = resources.files(__package__).joinpath("player.html").read_text(encoding="utf-8")
        values = {"title": html.escape(title), "data": text}
        file.write_text(
            re.sub(r"{{(title|data)}}", lambda place: values[place[1]], template), encoding="utf-8", errors="replace"
        )


def links(files: Sequence[str]) -> list[tuple[str, str]]:
    """(text, address) of links to files: the ending is text enough, numbered where several have the same."""
    endings = [PurePath(file).name.partition(".")[2] or PurePath(file).name for file in files]
    texts = [
        f"{ending} {endings[: place + 1].count(ending)}" if endings.count(ending) > 1 else ending
        for place, ending in enumerate(endings)
    ]
    return [(text, quote(PurePath(file).as_posix())) for text, file in zip(texts, files)]


def encode_entry(entry: Entry) -> dict[str, Any]:
    """Encode an entry for the player: joints quantised to 16-bit multiples of `step` metres from `origin`, in base64.

    The step is a millimetre unless a motion spreads over more than 65 metres.
    """
    figure = as_figure(entry.motion)
    low, high = figure.joints.min(axis=(0, 1, 2)), figure.joints.max(axis=(0, 1, 2))
    origin = (low + high) / 2
    step = max(MILLIMETRE, float((high - low).max()) / 2 / LARGEST)
    joints = np.round((figure.joints - origin) / step).astype("<i2")
    return {
        "caption": entry.caption,
        "info": entry.info,
        "warning": entry.warning,
        "section": entry.section,
        "files": links(entry.files),
        "fps": figure.fps,
        "shape": joints.shape,
        "step": step,
        "origin": origin.tolist(),
        "parents": figure.parents,
        "sides": figure.sides,
        "root": figure.root,
        "head": figure.head,
        "radius": figure.head_ball()[1],
        "across": figure.across,
        "facing": figure.front(),
        "joints": base64.b64encode(joints.tobytes()).decode("ascii"),
    }
