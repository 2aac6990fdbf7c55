"""Which joints of a foreign skeleton are HumanML3D's, by the names that tools and data sets give them.

Names are compared without prefix, case, numbers and separators, so that `mixamorig:LeftUpLeg`, `Bip01 L Thigh`,
`UpperLeg_L` and `lThigh` all are the left hip. The spine is what lies between pelvis and neck. Where a skeleton is
called otherwise, a mapping says so:

    {"pelvis": "Bone", "left_hip": "Bone.004", "spine2": ["Bone.001", "Bone.002"], "unit": 0.01, "up": "z"}

from our joints to the file's; two names mean the point midway. It only has to hold what is not found or is found
wrongly. `unit` (metres in a unit of the file) and `up` ("y", "-z", ...) put right what else is guessed.
"""

import difflib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion.motion import positive
from motiongpt3_jax.motion.skeleton import HUMANML3D

AXES = {
    "y": ((0, 1), (1, 1), (2, 1)),
    "z": ((0, 1), (2, 1), (1, -1)),
    "x": ((1, -1), (0, 1), (2, 1)),
    "-y": ((0, 1), (1, -1), (2, -1)),
    "-z": ((0, 1), (2, -1), (1, 1)),
    "-x": ((1, 1), (0, -1), (2, 1)),
}
"""What may be up in a file, with our x, y and z as axes of that file, and their signs."""

Weights = Float[np.ndarray, "joints file_joints"]

# What the field calls each joint, best name first. A name that two joints may have goes to the one that comes first
# here: a "foot" is the ankle unless there is an "ankle", a "shoulder" the upper arm's joint unless there is an "arm".
_MIDDLE = {
    "pelvis": ("hips", "pelvis", "hip", "root"),
    "neck": ("neck", "lowerneck"),
    "head": ("head", "skull"),
}
_SIDED = {
    "knee": ("knee", "lowleg", "lowerleg", "loleg", "leglower", "shin", "shinbend", "calf", "tibia", "leg"),
    "hip": ("upleg", "upperleg", "legupper", "thigh", "thighbend", "femur", "hip", "leg"),
    "ankle": ("ankle", "foot"),
    "foot": ("toebase", "toe", "toes", "ball", "foot"),
    "shoulder": ("uparm", "upperarm", "armupper", "arm", "shldr", "shldrbend", "humerus", "shoulder"),
    "collar": ("collar", "collarbone", "clavicle", "shoulder"),
    "elbow": ("elbow", "forearm", "forearmbend", "lowarm", "lowerarm", "loarm", "armlower", "radius"),
    "wrist": ("wrist", "hand"),
}
_PARTS = {name for names in (*_MIDDLE.values(), *_SIDED.values()) for name in names}
_SIDES = {"left": "left", "lft": "left", "l": "left", "right": "right", "rgt": "right", "r": "right"}
_NOISE = {"joint", "jnt", "bone", "bip", "biped", "mixamorig", "def", "org", "j", "c", "center", "character", "model"}

_COLLARS = ("left_collar", "right_collar")
_SPINE = {"spine1": 0.24, "spine2": 0.5, "spine3": 0.62}
"""How far up the way from pelvis to neck SMPL has its spine joints."""


def load_mapping(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The mapping in a JSON file.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'mapping \'{path}\' does not exist; give a JSON file such as {{"pelvis": "Hips"}}.')
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"mapping '{path}' is not readable JSON ({error}).") from None
    return checked_mapping(found, f"mapping '{path}'")


def checked_mapping(mapping: Any, what: str = "mapping") -> dict[str, Any]:
    """The same mapping with a tuple of names for each joint.

    Raises:
      ValueError: a key that is no joint of ours, or a value that is no name, two names, unit or axis.
    """
    if not isinstance(mapping, Mapping):
        raise ValueError(f"{what} holds a {type(mapping).__name__}; expected one object from our joints to the file's.")
    known = (*HUMANML3D.joints, "unit", "up")
    checked: dict[str, Any] = {}
    for key, value in mapping.items():
        if key not in known:
            raise ValueError(f"{what} names '{key}', which is no joint of ours{_near(key, known)}: {', '.join(known)}.")
        if key == "unit":
            good = positive(value)
        elif key == "up":
            good = value in AXES
        else:
            value = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
            good = len(value) in (1, 2) and all(isinstance(name, str) for name in value)
        if not good:
            raise ValueError(
                f"{what} has {mapping[key]!r} for '{key}'; expected a name or two names of the file's joints, for "
                f"'unit' the metres in a unit of the file, for 'up' {', '.join(AXES)}."
            )
        checked[key] = value
    return checked


def match_joints(
    names: tuple[str, ...],
    parents: tuple[int, ...],
    pose: Float[np.ndarray, "file_joints 3"],
    mapping: Mapping[str, Any],
    what: str,
) -> tuple[Weights, tuple[str, ...]]:
    """HumanML3D's joints as weighted means of a file's.

    Args:
      names: the file's joints, parents first; the end of a last bone is its joint's name and `_end`.
      parents: for each the joint before it; -1 for the root.
      pose: where they are in some frame, in any unit; joints at one place count as one.
      mapping: see `checked_mapping`.
      what: the file, for messages.

    Returns:
      A row of weights for each of our joints, and sentences on joints that the file does not have.

    Raises:
      ValueError: joints were not found.
    """
    found = _by_name(names, parents, pose) | _by_mapping(names, mapping, what)
    notes = _fill_ends(found, names)
    missing = [joint for joint in HUMANML3D.joints if joint not in (*found, *_SPINE, *_COLLARS)]
    if missing:
        example = ", ".join(f'"{joint}": "..."' for joint in missing[:2])
        raise ValueError(
            f"{what} has no joint that looks like {', '.join(missing)}; its joints are {', '.join(names)}.\n"
            f"Write a mapping file such as {{{example}}} with the file's own names (a list of two names means the "
            "point midway) and give it with --mapping FILE."
        )
    notes += _fill_spine(found, parents, pose)
    notes += _fill_collars(found, pose)
    return np.stack([found[joint] for joint in HUMANML3D.joints]), notes


def _by_name(names: tuple[str, ...], parents: tuple[int, ...], pose: np.ndarray) -> dict[str, np.ndarray]:
    """The joints whose names tell; of joints with one name the first, but not one that lies where its parent does."""
    places: dict[tuple[str | None, str], int] = {}
    for index, key in enumerate(map(_side_and_part, _bare(names))):
        if key not in places or (key[1] == "neck" and _together(pose, places[key], parents[places[key]])):
            places[key] = index
    one_hot = np.eye(len(names))
    found: dict[str, np.ndarray] = {}
    taken: set[int] = set()
    for side, table in ((None, _MIDDLE), ("left", _SIDED), ("right", _SIDED)):
        for joint, parts in table.items():
            index = next((places[side, p] for p in parts if places.get((side, p), -1) not in (-1, *taken)), None)
            if index is not None:
                taken.add(index)
                found[f"{side}_{joint}" if side else joint] = one_hot[index]
    return found


def _by_mapping(names: tuple[str, ...], mapping: Mapping[str, Any], what: str) -> dict[str, np.ndarray]:
    bare = [name.rsplit(":", 1)[-1] for name in names]
    found = {}
    for joint, wanted in mapping.items():
        if joint in ("unit", "up"):
            continue
        row = np.zeros(len(names))
        for name in wanted:
            if name not in names and name not in bare:
                raise ValueError(
                    f"{what} has no joint '{name}', which the mapping gives for {joint}{_near(name, names)}; "
                    f"its joints are {', '.join(names)}."
                )
            row[names.index(name) if name in names else bare.index(name)] += 1 / len(wanted)
        found[joint] = row
    return found


def _fill_ends(found: dict[str, np.ndarray], names: tuple[str, ...]) -> tuple[str, ...]:
    """Toes and head from the ends of the bones before them, the neck from the shoulders."""
    notes = []
    for joint, before in (("left_foot", "left_ankle"), ("right_foot", "right_ankle"), ("head", "neck")):
        if joint not in found and before in found and found[before].max() == 1:
            end = f"{names[int(found[before].argmax())]}_end"
            if end in names:
                found[joint] = np.eye(len(names))[names.index(end)]
                notes.append(f"{joint} is the end of the bone '{end.removesuffix('_end')}'")
    if "neck" not in found and {"left_shoulder", "right_shoulder"} <= found.keys():
        found["neck"] = (found["left_shoulder"] + found["right_shoulder"]) / 2
        notes.append("neck is midway between the shoulders")
    return tuple(notes)


def _fill_spine(found: dict[str, np.ndarray], parents: tuple[int, ...], pose: np.ndarray) -> tuple[str, ...]:
    given = {joint: found[joint] for joint in _SPINE if joint in found}
    if len(given) == len(_SPINE):
        return ()
    corners = [found["pelvis"], *_between(found, parents, pose), found["neck"]]
    if not given and len(corners) == len(_SPINE) + 2:
        found.update(zip(_SPINE, corners[1:]))
        return ()
    if given:
        corners = [found["pelvis"], *given.values(), found["neck"]]
        ways = np.array([0, *(_SPINE[joint] for joint in given), 1])
    else:
        ways = np.cumsum([0, *(np.linalg.norm((after - before) @ pose) for before, after in pairwise(corners))])
        ways = ways / ways[-1] if ways[-1] > 0 else np.linspace(0, 1, len(corners))
    missing = [joint for joint in _SPINE if joint not in given]
    for joint in missing:
        found[joint] = np.array([np.interp(_SPINE[joint], ways, column) for column in np.transpose(corners)])
    return (f"{', '.join(missing)} placed along the file's spine",)


def _between(found: dict[str, np.ndarray], parents: tuple[int, ...], pose: np.ndarray) -> list[np.ndarray]:
    """The file's joints on the way from pelvis to neck, without those that lie where another does."""
    at, pelvis, way = int(found["neck"].argmax()), int(found["pelvis"].argmax()), []
    if found["neck"].max() < 1:  # a point between joints has no parent: go down from the head
        at = int(found["head"].argmax())
    before = at
    while parents[at] not in (-1, pelvis):
        at = parents[at]
        if not _together(pose, at, before) and not _together(pose, at, pelvis):
            way.append(at)
            before = at
    return [np.eye(len(parents))[joint] for joint in reversed(way)]


def _fill_collars(found: dict[str, np.ndarray], pose: np.ndarray) -> tuple[str, ...]:
    # Many tools put both collars onto the spine, from where SMPL's stand off to the sides.
    if all(joint in found for joint in _COLLARS):
        across = np.linalg.norm((found["left_collar"] - found["right_collar"]) @ pose)
        if across > 1e-3 * np.ptp(pose, axis=0).max():
            return ()
    for side, joint in zip(("left", "right"), _COLLARS):
        found[joint] = (found["spine3"] + found[f"{side}_shoulder"]) / 2
    return ("collars placed midway between spine3 and shoulders",)


def _together(pose: np.ndarray, a: int, b: int) -> bool:
    return b >= 0 and bool(np.linalg.norm(pose[a] - pose[b]) <= 1e-3 * np.ptp(pose, axis=0).max())


def _bare(names: tuple[str, ...]) -> list[str]:
    """Names without a namespace, and without the first word that more than half of them begin with."""
    bare = [name.rsplit(":", 1)[-1] for name in names]
    first, times = Counter(re.match(r"[^_ .|-]*[_ .|-]|", name)[0] for name in bare).most_common(1)[0]
    return [name.removeprefix(first) for name in bare] if 2 * times > len(bare) else bare


def _side_and_part(name: str) -> tuple[str | None, str]:
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    side = next((_SIDES[word] for word in words if word in _SIDES), None)
    part = "".join(word for word in words if word not in _SIDES and word not in _NOISE)
    if side is None:
        for start, which in _SIDES.items():
            if part.startswith(start) and part.removeprefix(start) in _PARTS:
                return which, part.removeprefix(start)
    return side, part


def _near(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
