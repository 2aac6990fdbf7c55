"""Motion capture in Biovision's BVH files, of any tool: skeleton, channels, rate, unit and vertical axis are its own.

A file holds trees of joints, each with its place from its parent and the channels that move it, and a row of angles
(degrees) and places for every frame. Every tree that is a body becomes a person.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.joint_names import AXES, checked_mapping, load_mapping, match_joints
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.oddities import tallness
from motiongpt3_jax.motion.skeleton import HUMANML3D

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?"
_PIECE = re.compile(
    rf"""\s*(?:
        (?P<joint>ROOT|JOINT)[ \t]+(?P<name>[^\n{{}}]*?)\s*\{{
      | (?P<end>End[ \t]*Site)[^\n{{}}]*\s*\{{
      | OFFSET(?P<offset>(?:\s+{_NUMBER}){{3}})(?!\S)
      | CHANNELS\s+(?P<count>\d+)(?P<channels>(?:\s+[XYZ](?:position|rotation))*)(?!\S)
      | (?P<close>\}})
      | (?P<motion>MOTION)\s
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_TIMING = re.compile(r"\s*Frames:?\s*(?P<frames>\d+)\s+Frame\s*Time:?\s*(?P<time>\S+)", re.IGNORECASE)

_LEG = 0.82
"""Length of a grown-up's leg from hip to ankle, in metres."""

_LEGS = (0.45, 1.3)
"""Shortest and longest leg that people have."""

_UNITS = {
    **{"metres": 1.0, "centimetres": 0.01, "millimetres": 0.001},
    **{"inches": 0.0254, "CMU's units of 5.64 cm": 0.0254 / 0.45, "decimetres": 0.1, "feet": 0.3048},
}
"""Metres in the units that files come in; the first that gives legs of a possible length is taken."""


@dataclass
class _Tree:
    """The joints of one root, parents first."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[tuple[float, ...]] = field(default_factory=list)
    channels: list[tuple[str, ...]] = field(default_factory=list)


def read_bvh(
    path: str | os.PathLike[str], mapping: str | os.PathLike[str] | Mapping[str, Any] | None = None
) -> tuple[Motion, tuple[str, ...]]:
    """Read HumanML3D's joints from a BVH file, a person for each of its bodies.

    Where somebody stands and faces stays as the file has it.

    Args:
      path: the file.
      mapping: what its joints are called where they are not found by name, its unit and its vertical axis: a JSON
        file or a dictionary, see `joint_names`.

    Returns:
      The motion at the file's own rate, and sentences on what was guessed.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no BVH file, is cut off, or lacks joints; the message says where and what to do.
    """
    path, what = Path(path), f"motion '{path}'"
    if not path.is_file():
        raise FileNotFoundError(f"{what} {'is a folder' if path.is_dir() else 'does not exist'}; give a .bvh file.")
    if mapping is None or isinstance(mapping, Mapping):
        mapping = checked_mapping(mapping or {})
    else:
        mapping = load_mapping(mapping)
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    trees, end = _hierarchy(text, what)
    values, fps, notes = _frames(text, end, sum(len(c) for tree in trees for c in tree.channels), what)
    bodies, rests, errors, notes = [], [], [], list(notes)
    for tree, columns in zip(trees, _columns(trees, values)):
        joints = _forward(tree, columns)
        try:
            weights, said = match_joints(tuple(tree.names), tuple(tree.parents), joints[0], mapping, what)
        except ValueError as error:
            errors.append(error)
            notes.append(f"'{tree.names[0]}' is no body and is left out")
            continue
        bodies.append(weights @ joints)
        rests.append(weights @ _rest(tree))
        notes += [sentence for sentence in said if sentence not in notes]
    if not bodies:
        raise errors[0]
    joints, said = _to_metres(np.stack(bodies), mapping.get("unit"))
    joints, turned = _to_y_up(joints, rests[0], mapping.get("up"))
    return Motion(joints, fps), (*notes, *said, *turned)


def _hierarchy(text: str, what: str) -> tuple[list[_Tree], int]:
    """The trees, and where the motion begins in the text."""
    start = re.match(r"\s*HIERARCHY\b", text, re.IGNORECASE)
    if not start:
        raise ValueError(f"{what} does not begin with HIERARCHY, so it is no BVH file; export it as BVH.")
    at, trees, open_joints = start.end(), [], []
    while piece := _PIECE.match(text, at):
        at = piece.end()
        if piece["motion"]:
            if open_joints or not trees:
                raise ValueError(f"{what}: {'a brace is not closed' if trees else 'no ROOT stands'} before MOTION.")
            return trees, at
        if piece["joint"] or piece["end"]:
            if (not open_joints) != ((piece["joint"] or "").upper() == "ROOT"):
                raise ValueError(f"{what}, line {_line(text, at)}: a ROOT stands inside another, or a JOINT outside.")
            if not open_joints:
                trees.append(_Tree())
            tree = trees[-1]
            parent = open_joints[-1] if open_joints else -1
            tree.names.append(piece["name"] if piece["joint"] else f"{tree.names[parent]}_end")
            tree.parents.append(parent)
            tree.offsets.append((0.0, 0.0, 0.0))
            tree.channels.append(())
            open_joints.append(len(tree.names) - 1)
        elif not open_joints:
            break
        elif piece["offset"]:
            trees[-1].offsets[open_joints[-1]] = tuple(float(number) for number in piece["offset"].split())
        elif piece["close"]:
            open_joints.pop()
        else:
            channels = tuple(channel.lower() for channel in piece["channels"].split())
            if len(channels) != int(piece["count"]):
                raise ValueError(
                    f"{what}, line {_line(text, at)}: {piece['count']} channels are promised and {len(channels)} named."
                )
            trees[-1].channels[open_joints[-1]] = channels
    rest = text[at:].lstrip()
    if not rest:
        raise ValueError(f"{what} ends before its MOTION part; it is cut off: copy or export it again.")
    line = _line(text, len(text) - len(rest))
    raise ValueError(
        f"{what}, line {line}: {rest.splitlines()[0][:60]!r} was not understood; expected ROOT, JOINT, End Site, "
        "OFFSET with three numbers, CHANNELS with as many names as it says, braces around each joint, then MOTION."
    )


def _frames(
    text: str, at: int, channels: int, what: str
) -> tuple[Float[np.ndarray, "frames channels"], float, list[str]]:
    """The rows of numbers, frames in a second, and a sentence if there are other frames than promised."""
    timing = _TIMING.match(text, at)
    if not timing:
        raise ValueError(
            f"{what}, line {_line(text, at)}: expected 'Frames: N' and 'Frame Time: SECONDS' after MOTION."
        )
    fps = _rate(timing["time"], what)
    numbers = text[timing.end() :].split()
    try:
        values = np.array(numbers, np.float64)
    except ValueError:
        bad = next(number for number in numbers if not re.fullmatch(_NUMBER, number, re.IGNORECASE))
        line = _line(text, text.index(bad, timing.end()))
        raise ValueError(f"{what}, line {line}: {bad[:40]!r} is no number.") from None
    frames, rest = divmod(len(values), max(channels, 1))
    if not frames or not channels or rest:
        raise ValueError(
            f"{what} promises {timing['frames']} frames of {channels} numbers and holds {len(values)} numbers, which "
            f"is {frames} frames and {rest} numbers; it is cut off or damaged: copy or export it again."
        )
    if not np.isfinite(values).all():
        frame = int(np.argwhere(~np.isfinite(values))[0, 0]) // channels
        raise ValueError(
            f"{what} has numbers that are not finite, the first in frame {frame}; drop these frames first."
        )
    promised = int(timing["frames"])
    notes = [f"{promised} frames are promised and {frames} are there"] if promised != frames else []
    return values.reshape(frames, channels), fps, notes


def _rate(time: str, what: str) -> float:
    """Frames in a second; a whole number where the time is one's, cut off at its last digit."""
    try:
        seconds = float(time)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < np.inf:
        raise ValueError(f"{what} has the frame time {time!r}; expected the seconds of a frame, such as 0.0333333.")
    digits = len(time.lower().partition("e")[0].partition(".")[2])
    whole = max(round(1 / seconds), 1)
    same = "e" not in time.lower() and abs(1 / whole - seconds) < 10.0**-digits
    return float(whole) if same else 1 / seconds


def _columns(trees: list[_Tree], values: np.ndarray) -> list[np.ndarray]:
    counts = [sum(map(len, tree.channels)) for tree in trees]
    return np.split(values, np.cumsum(counts)[:-1], axis=1)


def _forward(tree: _Tree, values: Float[np.ndarray, "frames channels"]) -> Float[np.ndarray, "frames file_joints 3"]:
    """Places of all joints. A place channel stands for the joint's offset, as the tools of the field write it."""
    frames, count = len(values), len(tree.names)
    local = np.broadcast_to(np.array(tree.offsets), (frames, count, 3)).copy()
    turns = [np.broadcast_to(np.array([1.0, 0, 0, 0]), (frames, 4))] * count
    column = 0
    for joint, channels in enumerate(tree.channels):
        for channel in channels:
            axis = "xyz".index(channel[0])
            if channel.endswith("position"):
                local[:, joint, axis] = values[:, column]
            else:
                half = np.radians(values[:, column]) / 2
                turn = np.zeros((frames, 4))
                turn[:, 0], turn[:, 1 + axis] = np.cos(half), np.sin(half)
                turns[joint] = rotations.multiply(turns[joint], turn)
            column += 1
    local += _forgotten_offsets(tree, local)
    joints = np.empty((frames, count, 3))
    for joint, parent in enumerate(tree.parents):
        if parent < 0:
            joints[:, joint] = local[:, joint]
        else:
            joints[:, joint] = joints[:, parent] + rotations.rotate(turns[parent], local[:, joint])
            turns[joint] = rotations.multiply(turns[parent], turns[joint])
    return joints


def _forgotten_offsets(tree: _Tree, local: np.ndarray) -> np.ndarray:
    """What to add where the inner joints' place channels count from their offsets, as a few tools have it."""
    offsets = np.array(tree.offsets)
    moved = [any(channel.endswith("position") for channel in channels) for channels in tree.channels]
    inner = np.array(moved) & (np.array(tree.parents) >= 0) & (np.linalg.norm(offsets, axis=1) > 0)
    from_offset = np.linalg.norm(local - offsets, axis=-1).mean(axis=0)
    from_parent = np.linalg.norm(local, axis=-1).mean(axis=0)
    if inner.any() and np.mean(from_parent[inner] < from_offset[inner]) > 0.5:
        return offsets * inner[:, None]
    return np.zeros_like(offsets)


def _to_metres(joints: np.ndarray, unit: float | None) -> tuple[np.ndarray, tuple[str, ...]]:
    if unit is not None:
        return joints * unit, ()
    leg = float(np.mean(np.abs(HUMANML3D.offsets(joints[:, 0]))[:, [4, 5, 7, 8]].sum(axis=(-2, -1))) / 2)
    if leg <= 0:
        raise ValueError("the legs have no length; give the right joints with a mapping file.")
    fitting = [name for name, metres in _UNITS.items() if _LEGS[0] <= leg * metres <= _LEGS[1]]
    if not fitting:
        return joints * (_LEG / leg), (f"legs of {leg:.3g} fit no usual unit: the body was given legs of {_LEG} m",)
    return joints * _UNITS[fitting[0]], (f"lengths are read as {fitting[0]}, from legs of {leg:.3g}",)


def _to_y_up(joints: np.ndarray, rest: np.ndarray, up: str | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """The joints with y up, by the axis that is said or along which the bodies stand, and sentences on it."""
    notes: tuple[str, ...] = ()
    if up is None:
        _, y, z = tallness(joints).mean(axis=(0, 1))
        up = "z" if z > max(y, 0.5) else "y"
        if up == "z" and tallness(rest)[1] > 0.7:
            # At rest it stands along y: its root is turned, or it lies, on what is at height 0.
            low = np.abs(np.median(joints.min(axis=-2), axis=(0, 1)))
            up = "y" if low[1] < min(low[2], 0.1) else "z"
        if up == "z":
            notes = ("z is taken for the vertical axis, from the bodies' own",)
        elif y < 0.3:
            notes = ("the bodies lie or hang: y is taken for the vertical axis; a mapping says otherwise with 'up'",)
    joints = np.stack([sign * joints[..., axis] for axis, sign in AXES[up]], axis=-1)
    return joints, notes


def _rest(tree: _Tree) -> np.ndarray:
    """Places of the file's joints in the rest pose."""
    places = np.zeros((len(tree.names), 3))
    for joint, (parent, offset) in enumerate(zip(tree.parents, tree.offsets)):
        places[joint] = np.array(offset) + (places[parent] if parent >= 0 else 0)
    return places


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
