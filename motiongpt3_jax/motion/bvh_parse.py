"""Parse BVH text: a tree of joints for every root, and the table of channel values that moves them."""

import codecs
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.foreign import foreign_content
from motiongpt3_jax.motion.lfs import refuse_lfs_pointer

FASTEST = 10_000.0
"""Frames in a second beyond which a frame time is wrong; the fastest cameras of motion capture take 2,000."""

SLOWEST_FRAME = 5.0
"""Seconds that no frame lasts: from here on a frame time means something else than seconds."""

LARGEST = 1e12
"""Numbers beyond this are no lengths nor angles."""

USUAL_RATES = (
    *(10, 12, 12.5, 15, 20, 23.976, 24, 25, 29.97, 30, 48, 50, 59.94, 60, 72, 75, 90, 100, 120, 144, 150, 200),
    *(240, 250, 300, 480, 500, 960, 1000),
)
"""Frames in a second that cameras and tools have."""

# Possessive quantifiers (++, *+) never give back what they took, so that a match takes time in proportion to the text.
_NUMBER = r"[+-]?(?:\d++(?:\.\d*+)?+|\.\d++)(?:e[+-]?\d++)?+"
_PIECE = re.compile(
    rf"""\s*+(?:
        (?P<joint>ROOT|JOINT)[ \t]++(?P<name>[^\n{{}}]*+)\s*+\{{
      | (?P<end>End[ \t]*+Site)[^\n{{}}]*+\s*+\{{
      | OFFSET(?P<offset>(?:\s++{_NUMBER}){{3}}+)(?!\S)
      | CHANNELS\s++(?P<count>\d++)(?P<channels>(?:\s++[XYZ](?:position|rotation|scale)(?!\S))*+)
      | (?P<close>\}})
      | (?P<motion>MOTION)\s
      | (?P<comment>(?:\#|//|;)[^\n]*+)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_START = re.compile(r"^[ \t]*+HIERARCHY\b", re.IGNORECASE | re.MULTILINE)
_TIMING = re.compile(r"\s*+Frames:?\s*+(?P<frames>\d++)\s++Frame\s*+Time:?\s*+(?P<time>\S++)", re.IGNORECASE)
_COMMA = re.compile(r"\d,\d|\d,\s")


@dataclass
class Tree:
    """The joints of one root, parents first.

    Attributes:
      names: what they are called; the end of a last bone is its joint's name and `_end`.
      parents: for each the joint before it; -1 for the root.
      offsets: each from its parent.
      channels: what the columns of the table set for it, such as "xposition", in their order.
    """

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[tuple[float, ...]] = field(default_factory=list)
    channels: list[tuple[str, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class Bvh:
    """A parsed BVH file.

    Attributes:
      trees: a tree of joints for every root.
      values: a table for each tree, whose columns are its channels.
      fps: frames in a second.
      notes: sentences on what was guessed.
    """

    trees: list[Tree]
    values: list[Float[np.ndarray, "frames channels"]]
    fps: float
    notes: tuple[str, ...]


def parse_bvh(path: Path, what: str) -> Bvh:
    """Parse a BVH file.

    Args:
      path: the file.
      what: how errors call it.

    Raises:
      UserError: it is no BVH file or is damaged; the message says where and what to do.
    """
    text = _decode(path.read_bytes(), what)
    start = _START.search(text)
    if not start:
        begins = f"begins with {text.strip()[:40]!r}" if text.strip() else "is empty"
        raise UserError(f"{what} has no line HIERARCHY, so it is no BVH file; it {begins}: export it as BVH.")
    skipped = text[: start.start()].strip()
    notes = [f"{len(skipped.splitlines())} lines before HIERARCHY are skipped"] if skipped else []
    trees, end = _hierarchy(text, start.end(), what)
    if any(channel.endswith("scale") for tree in trees for channels in tree.channels for channel in channels):
        notes.append("scale channels are not read: bones keep the lengths of their OFFSET lines")
    counts = [sum(map(len, tree.channels)) for tree in trees]
    values, fps, rate_notes = _frames(text, end, sum(counts), what)
    return Bvh(trees, np.split(values, np.cumsum(counts)[:-1], axis=1), fps, (*notes, *rate_notes))


def _decode(content: bytes, what: str) -> str:
    """Decode the text: UTF-8, or UTF-16 as Windows' editors and shells write it."""
    refuse_lfs_pointer(content[:64], what)
    foreign = foreign_content(content)
    if foreign:
        raise UserError(f"{what} is {foreign} under the name .bvh, not a BVH file; export it as BVH.")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content[:2]:
        return content.decode("utf-16-be" if content.startswith(b"\0") else "utf-16-le", errors="replace")
    return content.decode("utf-8-sig", errors="replace")


def _hierarchy(text: str, at: int, what: str) -> tuple[list[Tree], int]:
    """The trees, and where the motion begins in the text."""
    trees: list[Tree] = []
    open_joints: list[int] = []
    while piece := _PIECE.match(text, at):
        at = piece.end()
        if piece["comment"]:
            continue
        if piece["motion"]:
            if open_joints or not trees:
                raise UserError(f"{what}: {'a brace is not closed' if trees else 'no ROOT stands'} before MOTION.")
            return trees, at
        if piece["joint"] or piece["end"]:
            if (not open_joints) != ((piece["joint"] or "").upper() == "ROOT"):
                raise UserError(f"{what}, line {_line(text, at)}: a ROOT stands inside another, or a JOINT outside.")
            if not open_joints:
                trees.append(Tree())
            tree = trees[-1]
            parent = open_joints[-1] if open_joints else -1
            tree.names.append(piece["name"].strip() if piece["joint"] else f"{tree.names[parent]}_end")
            tree.parents.append(parent)
            tree.offsets.append((0.0, 0.0, 0.0))
            tree.channels.append(())
            open_joints.append(len(tree.names) - 1)
        elif not open_joints:
            break
        elif piece["offset"]:
            offset = tuple(float(number) for number in piece["offset"].split())
            if max(map(abs, offset)) > LARGEST:
                raise UserError(f"{what}, line {_line(text, at)}: an OFFSET is too large for a number.")
            trees[-1].offsets[open_joints[-1]] = offset
        elif piece["close"]:
            open_joints.pop()
        else:
            trees[-1].channels[open_joints[-1]] = _channels(piece, text, what)
    raise _syntax_error(text, at, what)


def _channels(piece: re.Match[str], text: str, what: str) -> tuple[str, ...]:
    channels = tuple(channel.lower() for channel in piece["channels"].split())
    if len(channels) != int(piece["count"][:9]):
        following = next(iter(text[piece.end() : piece.end() + 60].split()), "")
        raise UserError(
            f"{what}, line {_line(text, piece.end())}: {piece['count'][:9]} channels are promised and {len(channels)} "
            f"named; after them stands {following!r}. Channels are Xposition, Xrotation and so on."
        )
    return channels


def _syntax_error(text: str, at: int, what: str) -> UserError:
    """The error that says where the hierarchy is not understood, and why where this can be seen."""
    rest = text[at:].lstrip()
    if not rest:
        return UserError(f"{what} ends before its MOTION part; it is cut off: copy or export it again.")
    line, words = _line(text, len(text) - len(rest)), rest.splitlines()[0][:60]
    if words.upper().startswith("OFFSET") and _COMMA.search(words):
        return UserError(f"{what}, line {line}: {words!r} {_COMMAS}")
    return UserError(
        f"{what}, line {line}: {words!r} was not understood; expected ROOT, JOINT, End Site, OFFSET with three "
        "numbers, CHANNELS with as many names as it says, braces around each joint, then MOTION."
    )


_COMMAS = (
    "has numbers with a comma; BVH has decimal points and blanks between numbers: export it with points, or replace "
    "the commas."
)


def _frames(
    text: str, at: int, channels: int, what: str
) -> tuple[Float[np.ndarray, "frames channels"], float, list[str]]:
    """The rows of numbers, frames in a second, and sentences on what was guessed."""
    timing = _TIMING.match(text, at)
    if not timing:
        raise UserError(f"{what}, line {_line(text, at)}: expected 'Frames: N' and 'Frame Time: SECONDS' after MOTION.")
    numbers = text[timing.end() :].split()
    try:
        values = np.array(numbers, np.float64)
    except ValueError:
        bad = next(number for number in numbers if not re.fullmatch(_NUMBER, number, re.IGNORECASE))
        where = f"{what}, line {_line(text, text.index(bad, timing.end()))}: {bad[:40]!r}"
        raise UserError(f"{where} {_COMMAS}" if "," in bad else f"{where} is no number.") from None
    fps, notes = _rate(timing["time"], what)
    frames, rest = divmod(len(values), max(channels, 1))
    promised = timing["frames"].lstrip("0") or "0"
    if not frames or not channels or rest:
        raise UserError(
            f"{what} promises {promised[:20]} frames of {channels} numbers and holds {len(values)} numbers, which "
            f"is {frames} frames and {rest} numbers; it is cut off or damaged: copy or export it again."
        )
    bad = np.flatnonzero(~(np.abs(values) <= LARGEST))
    if len(bad):
        raise UserError(
            f"{what} has numbers that are not finite or too large, the first in frame {bad[0] // channels}; drop "
            "these frames first."
        )
    if promised != str(frames):
        notes.append(f"{promised[:20]} frames are promised and {frames} are there")
    return values.reshape(frames, channels), fps, notes


def _rate(time: str, what: str) -> tuple[float, list[str]]:
    """Frames in a second, a whole number where the time is one's cut off at its last digit; and what was guessed."""
    try:
        seconds = float(time)
    except ValueError:
        seconds = 0.0
    if not 1 / FASTEST <= seconds < np.inf:
        commas = " (with a point, not a comma)" if "," in time else ""
        raise UserError(
            f"{what} has the frame time {time[:40]!r}; expected the seconds of a frame{commas}, such as 0.0333333."
        )
    if seconds >= SLOWEST_FRAME:
        return _infer_rate(seconds, time, what)
    digits = len(time.lower().partition("e")[0].partition(".")[2])
    whole = max(round(1 / seconds), 1)
    same = "e" not in time.lower() and abs(1 / whole - seconds) < 10.0**-digits
    notes = [f"frames last {seconds:g} s each, as its frame time says"] if seconds > 0.5 else []
    return float(whole) if same else 1 / seconds, notes


def _infer_rate(seconds: float, time: str, what: str) -> tuple[float, list[str]]:
    """Infer the unit of a frame time that is too long for seconds: frames in a second, or milliseconds."""
    for rate, unit, tolerance in ((seconds, "frames a second", 1e-3), (1000 / seconds, "milliseconds", 0.02)):
        usual = min(USUAL_RATES, key=lambda usual: abs(rate / usual - 1))
        if abs(rate / usual - 1) < tolerance:
            return float(usual), [f"the frame time {time} is taken for {unit}: no frame lasts {seconds:g} s"]
    raise UserError(f"{what} has the frame time {time[:40]!r}; expected the seconds of a frame, such as 0.0333333.")


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
