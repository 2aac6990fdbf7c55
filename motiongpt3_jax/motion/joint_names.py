"""Match the joints of any skeleton to HumanML3D's, by the names that tools and data sets give them.

Names are compared without common prefix and suffix, case, numbers and separators, so that `mixamorig:LeftUpLeg`,
`Bip01 L Thigh`, `CC_Base_L_Thigh`, `UpperLeg_L_bind` and `lThigh` all are the left hip. The spine is what lies between
pelvis and neck. Where a skeleton is called otherwise, a mapping says so, see `joint_mapping`.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.joint_guess import guess_mapping, mapping_text
from motiongpt3_jax.motion.joint_mapping import ABOUT_FILE, did_you_mean
from motiongpt3_jax.motion.joint_tree import JointTree
from motiongpt3_jax.motion.skeleton import HUMANML3D

Weights = Float[np.ndarray, "joints file_joints"]
Key = tuple[str | None, str]

# What the field calls each joint, best name first. A name that two joints may have goes to the one that comes first
# here: a "foot" is the ankle unless there is an "ankle", a "shoulder" the upper arm's joint unless there is an "arm".
_MIDDLE = {
    "pelvis": ("hips", "pelvis", "hip", "spinebase", "root"),
    "neck": ("neck", "lowerneck", "necklower", "necktwist"),
    "head": ("head", "skull"),
}
_SIDED = {
    "knee": ("knee", "lowleg", "lowerleg", "loleg", "leglower", "shin", "shinbend", "calf", "shank", "tibia", "leg"),
    "hip": ("upleg", "upperleg", "legupper", "thigh", "thighbend", "femur", "hip", "leg"),
    "ankle": ("ankle", "foot"),
    "foot": ("toebase", "toe", "toes", "bigtoe", "ball", "foot"),
    "shoulder": ("uparm", "upperarm", "uarm", "armupper", "arm", "shldr", "shldrbend", "humerus", "shoulder"),
    "collar": ("collar", "collarbone", "clavicle", "clav", "scapula", "shoulder"),
    "elbow": ("elbow", "forearm", "forearmbend", "farm", "lowarm", "lowerarm", "loarm", "larm", "armlower", "radius"),
    "wrist": ("wrist", "hand"),
}
_PARTS = {name for names in (*_MIDDLE.values(), *_SIDED.values()) for name in names}
_SIDES = {"left": "left", "lft": "left", "l": "left", "right": "right", "rgt": "right", "r": "right"}
_NOISE = {
    "joint",
    "jnt",
    "bone",
    "bip",
    "biped",
    "mixamorig",
    "def",
    "org",
    "j",
    "c",
    "center",
    "character",
    "model",
    "m",
    "mid",
    "x",
    "stretch",
}

NAMESAKES = 16
"""Joints of one name, or twins of one, that are looked at to find the one that is no helper."""

LISTED = 200
"""Names of a file's joints that a message lists."""

_COLLARS = ("left_collar", "right_collar")

_SPINE = {"spine1": 0.24, "spine2": 0.5, "spine3": 0.62}
"""How far up the way from pelvis to neck SMPL has its spine joints."""


def match_joints(tree: JointTree, mapping: Mapping[str, Any], what: str) -> tuple[Weights, tuple[str, ...]]:
    """HumanML3D's joints as weighted means of a file's.

    Args:
      tree: the file's joints; those at one place count as one.
      mapping: see `joint_mapping`.
      what: the file, for messages.

    Returns:
      A row of weights for each of our joints, and sentences on joints that the file does not have.

    Raises:
      UserError: joints are missing; the message offers a mapping to correct.
    """
    keys = _keys(tree.names)
    rows = _match_names(tree, keys) | _match_mapping(tree, mapping, what)
    notes = (*_fill_middle(rows, tree, keys), *_fill_ends(rows, tree))
    missing = [joint for joint in HUMANML3D.joints if joint not in (*rows, *_SPINE, *_COLLARS)]
    if missing:
        raise UserError(
            f"{what} has no joint that looks like {', '.join(missing)}; its joints are {_name_list(tree.names)}.\n"
            f"{_offer(rows, tree, mapping, missing)}"
        )
    notes += _fill_spine(rows, tree)
    notes += _fill_collars(rows, tree)
    return np.stack([rows[joint] for joint in HUMANML3D.joints]), notes


def _offer(rows: Mapping[str, np.ndarray], tree: JointTree, mapping: Mapping[str, Any], missing: list[str]) -> str:
    """The mapping that a user only has to correct, and what to do with it."""
    ours = {joint: [tree.names[index] for index in np.flatnonzero(row)] for joint, row in rows.items()}
    about = {key: mapping[key] for key in ABOUT_FILE if key in mapping}
    text = guess_mapping(tree, ours, missing) | about
    return (
        "Put right what is wrong in this mapping, which is guessed from how the joints hang together, save it as "
        "names.json, and give it with --mapping names.json (a list of two names means the point midway):\n"
        f"{mapping_text(text)}"
    )


def _match_names(tree: JointTree, keys: list[Key]) -> dict[str, np.ndarray]:
    """The joints whose names tell; of several with one name the first that is no helper."""
    places: dict[Key, list[int]] = {}
    for index, key in enumerate(keys):
        places.setdefault(key, []).append(index)

    def is_helper(index: int) -> bool:
        """Whether a joint lies where its parent or its mirror twin does, so that it only carries turns or names."""
        side, part = keys[index]
        twins = places.get(({"left": "right", "right": "left"}[side], part), []) if side else []
        return any(tree.coincide(index, other) for other in (tree.parents[index], *twins[:NAMESAKES]))

    rows: dict[str, np.ndarray] = {}
    used: set[int] = set()
    for side, table in ((None, _MIDDLE), ("left", _SIDED), ("right", _SIDED)):
        for joint, parts in table.items():
            namesakes = [index for part in parts for index in places.get((side, part), ()) if index not in used]
            if not namesakes:
                continue
            best = namesakes[0]
            if joint != "pelvis":
                best = next((index for index in namesakes[:NAMESAKES] if not is_helper(index)), best)
            used.add(best)
            rows[f"{side}_{joint}" if side else joint] = tree.one_hot(best)
    return rows


def _match_mapping(tree: JointTree, mapping: Mapping[str, Any], what: str) -> dict[str, np.ndarray]:
    names, bare = tree.names, [name.rsplit(":", 1)[-1] for name in tree.names]
    rows = {}
    for joint, wanted in mapping.items():
        if joint in ABOUT_FILE:
            continue
        row = np.zeros(len(names))
        for name in wanted:
            if name not in names and name not in bare:
                raise UserError(
                    f"{what} has no joint '{name}', which the mapping gives for {joint}{did_you_mean(name, names)}; "
                    f"its joints are {_name_list(names)}."
                )
            row[names.index(name) if name in names else bare.index(name)] += 1 / len(wanted)
        rows[joint] = row
    return rows


def _fill_middle(rows: dict[str, np.ndarray], tree: JointTree, keys: list[Key]) -> tuple[str, ...]:
    """The pelvis from where the legs part, neck and head from the joints beyond where the arms do."""
    notes = []
    if "pelvis" not in rows and {"left_hip", "right_hip"} <= rows.keys():
        fork = tree.lowest_common_ancestor(*(int(rows[joint].argmax()) for joint in ("left_hip", "right_hip")))
        if fork >= 0:
            rows["pelvis"] = tree.one_hot(fork)
            notes.append(f"pelvis is '{tree.names[fork]}', where the legs part")
    if not {"neck", "head"} & rows.keys() and {"pelvis", "left_shoulder", "right_shoulder"} <= rows.keys():
        shoulders = [int(rows[joint].argmax()) for joint in ("left_shoulder", "right_shoulder")]
        fork, middle = tree.lowest_common_ancestor(*shoulders), [side is None for side, _ in keys]
        up = tree.pose[fork] - tree.pose[int(rows["pelvis"].argmax())]
        way = tree.chain_along(fork, up, [child for child in tree.children(fork) if middle[child]]) if fork >= 0 else []
        if len(way) >= 2:
            rows["neck"], rows["head"] = tree.one_hot(way[0]), tree.one_hot(way[-1])
            notes.append(f"neck and head are '{tree.names[way[0]]}' and '{tree.names[way[-1]]}', above where arms part")
    return tuple(notes)


def _fill_ends(rows: dict[str, np.ndarray], tree: JointTree) -> tuple[str, ...]:
    """Toes and head from the ends of the bones before them, the neck from the shoulders."""
    notes = []
    for joint, before in (("left_foot", "left_ankle"), ("right_foot", "right_ankle"), ("head", "neck")):
        if joint not in rows and before in rows and rows[before].max() == 1:
            end = f"{tree.names[int(rows[before].argmax())]}_end"
            if end in tree.names:
                rows[joint] = tree.one_hot(tree.names.index(end))
                notes.append(f"{joint} is the end of the bone '{end.removesuffix('_end')}'")
    if "neck" not in rows and {"left_shoulder", "right_shoulder"} <= rows.keys():
        rows["neck"] = (rows["left_shoulder"] + rows["right_shoulder"]) / 2
        notes.append("neck is midway between the shoulders")
    return tuple(notes)


def _fill_spine(rows: dict[str, np.ndarray], tree: JointTree) -> tuple[str, ...]:
    known = [joint for joint in _SPINE if joint in rows]
    missing = [joint for joint in _SPINE if joint not in rows]
    if not missing:
        return ()
    between = [] if known else _between(rows, tree)
    corners = [rows["pelvis"], *(rows[joint] for joint in known), *between, rows["neck"]]
    if len(between) == len(_SPINE):
        for joint, index in zip(_SPINE, between):
            rows[joint] = tree.one_hot(index)
        return ()
    if known:
        ways = np.array([0, *(_SPINE[joint] for joint in known), 1])
    else:
        places = [tree.pose[corner] if isinstance(corner, int) else corner @ tree.pose for corner in corners]
        ways = np.cumsum([0, *np.linalg.norm(np.diff(places, axis=0), axis=-1)])
        ways = ways / ways[-1] if ways[-1] > 0 else np.linspace(0, 1, len(corners))
    for joint in missing:
        rows[joint] = _interpolate_polyline(corners, ways, _SPINE[joint], tree)
    return (f"{', '.join(missing)} placed along the file's spine",)


def _interpolate_polyline(
    corners: list[int | np.ndarray], ways: Float[np.ndarray, "corners"], way: float, tree: JointTree
) -> np.ndarray:
    """Linear interpolation along a polyline of joints, or of weighted means of joints: weights of the point."""
    before = int(np.clip(np.searchsorted(ways, way, side="right") - 1, 0, len(ways) - 2))
    gap = ways[before + 1] - ways[before]
    share = (way - ways[before]) / gap if gap > 0 else 0.0
    start, end = (tree.one_hot(at) if isinstance(at, int) else at for at in corners[before : before + 2])
    return (1 - share) * start + share * end


def _between(rows: dict[str, np.ndarray], tree: JointTree) -> list[int]:
    """The file's joints on the way from pelvis to neck, without those that lie where another does."""
    at, pelvis, way = int(rows["neck"].argmax()), int(rows["pelvis"].argmax()), []
    if rows["neck"].max() < 1:  # a point between joints has no parent: go down from the head
        at = int(rows["head"].argmax())
    before = at
    while tree.parents[at] not in (-1, pelvis):
        at = tree.parents[at]
        if not tree.coincide(at, before) and not tree.coincide(at, pelvis):
            way.append(at)
            before = at
    return way[::-1]


def _fill_collars(rows: dict[str, np.ndarray], tree: JointTree) -> tuple[str, ...]:
    # Many tools put both collars onto the spine, from where SMPL's stand off to the sides.
    if all(joint in rows for joint in _COLLARS):
        across = np.linalg.norm((rows["left_collar"] - rows["right_collar"]) @ tree.pose)
        if across > 1e-3 * tree.size:
            return ()
    for side, joint in zip(("left", "right"), _COLLARS):
        rows[joint] = (rows["spine3"] + rows[f"{side}_shoulder"]) / 2
    return ("collars placed midway between spine3 and shoulders",)


def _name_list(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _keys(names: tuple[str, ...]) -> list[Key]:
    """Normalise names: side and part of each, without a namespace and the words that most names begin or end with."""
    words = [re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name.rsplit(":", 1)[-1]) for name in names]
    words = _without_prefix([[word.lower() for word in name] for name in words])
    words = [name[::-1] for name in _without_prefix([name[::-1] for name in words])]
    return [_side_and_part(name) for name in words]


def _without_prefix(names: list[list[str]]) -> list[list[str]]:
    """Words of names without those that most of them begin with."""
    while firsts := Counter(name[0] for name in names if name):
        first, times = firsts.most_common(1)[0]
        if 2 * times <= len(names) or first in _SIDES or first in _PARTS:
            break
        names = [name[1:] if name[:1] == [first] else name for name in names]
    return names


def _side_and_part(words: list[str]) -> Key:
    side = next((_SIDES[word] for word in words if word in _SIDES), None)
    part = "".join(word for word in words if word not in _SIDES and word not in _NOISE)
    if side is None:
        for start, which in _SIDES.items():
            if part.startswith(start) and part.removeprefix(start) in _PARTS:
                return which, part.removeprefix(start)
    return side, part
