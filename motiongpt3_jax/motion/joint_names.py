"""Which joints of a foreign skeleton are HumanML3D's, by the names that tools and data sets give them.

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
from motiongpt3_jax.motion.joint_mapping import ABOUT_FILE, near
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
_NOISE = {"joint", "jnt", "bone", "bip", "biped", "mixamorig", "def", "org", "j", "c", "center", "character", "model"}
_NOISE |= {"m", "mid", "x", "stretch"}

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
      UserError: joints were not found; the message offers a mapping to correct.
    """
    keys = _keys(tree.names)
    found = _by_name(tree, keys) | _by_mapping(tree, mapping, what)
    notes = (*_fill_middle(found, tree, keys), *_fill_ends(found, tree))
    missing = [joint for joint in HUMANML3D.joints if joint not in (*found, *_SPINE, *_COLLARS)]
    if missing:
        raise UserError(
            f"{what} has no joint that looks like {', '.join(missing)}; its joints are {_listed(tree.names)}.\n"
            f"{_offer(found, tree, mapping, missing)}"
        )
    notes += _fill_spine(found, tree)
    notes += _fill_collars(found, tree)
    return np.stack([found[joint] for joint in HUMANML3D.joints]), notes


def _offer(found: Mapping[str, np.ndarray], tree: JointTree, mapping: Mapping[str, Any], missing: list[str]) -> str:
    """The mapping that a user only has to correct, and what to do with it."""
    ours = {joint: [tree.names[index] for index in np.flatnonzero(row)] for joint, row in found.items()}
    about = {key: mapping[key] for key in ABOUT_FILE if key in mapping}
    text = guess_mapping(tree, ours, missing) | about
    return (
        "Put right what is wrong in this mapping, which is guessed from how the joints hang together, save it as "
        "names.json, and give it with --mapping names.json (a list of two names means the point midway):\n"
        f"{mapping_text(text)}"
    )


def _by_name(tree: JointTree, keys: list[Key]) -> dict[str, np.ndarray]:
    """The joints whose names tell; of several with one name the first that is no helper."""
    places: dict[Key, list[int]] = {}
    for index, key in enumerate(keys):
        places.setdefault(key, []).append(index)

    def is_helper(index: int) -> bool:
        """Whether a joint lies where its parent or its mirror twin does, so that it only carries turns or names."""
        side, part = keys[index]
        twins = places.get(({"left": "right", "right": "left"}[side], part), []) if side else []
        return any(tree.together(index, other) for other in (tree.parents[index], *twins[:NAMESAKES]))

    found: dict[str, np.ndarray] = {}
    taken: set[int] = set()
    for side, table in ((None, _MIDDLE), ("left", _SIDED), ("right", _SIDED)):
        for joint, parts in table.items():
            named = [index for part in parts for index in places.get((side, part), ()) if index not in taken]
            own = named if joint == "pelvis" else [at for at in named[:NAMESAKES] if not is_helper(at)]
            if named:
                index = (own or named)[0]
                taken.add(index)
                found[f"{side}_{joint}" if side else joint] = tree.one(index)
    return found


def _by_mapping(tree: JointTree, mapping: Mapping[str, Any], what: str) -> dict[str, np.ndarray]:
    names, bare = tree.names, [name.rsplit(":", 1)[-1] for name in tree.names]
    found = {}
    for joint, wanted in mapping.items():
        if joint in ABOUT_FILE:
            continue
        row = np.zeros(len(names))
        for name in wanted:
            if name not in names and name not in bare:
                raise UserError(
                    f"{what} has no joint '{name}', which the mapping gives for {joint}{near(name, names)}; "
                    f"its joints are {_listed(names)}."
                )
            row[names.index(name) if name in names else bare.index(name)] += 1 / len(wanted)
        found[joint] = row
    return found


def _fill_middle(found: dict[str, np.ndarray], tree: JointTree, keys: list[Key]) -> tuple[str, ...]:
    """The pelvis from where the legs part, neck and head from the joints beyond where the arms do."""
    notes = []
    if "pelvis" not in found and {"left_hip", "right_hip"} <= found.keys():
        fork = tree.fork(*(int(found[joint].argmax()) for joint in ("left_hip", "right_hip")))
        if fork >= 0:
            found["pelvis"] = tree.one(fork)
            notes.append(f"pelvis is '{tree.names[fork]}', where the legs part")
    if not {"neck", "head"} & found.keys() and {"pelvis", "left_shoulder", "right_shoulder"} <= found.keys():
        shoulders = [int(found[joint].argmax()) for joint in ("left_shoulder", "right_shoulder")]
        fork, middle = tree.fork(*shoulders), [side is None for side, _ in keys]
        up = tree.pose[fork] - tree.pose[int(found["pelvis"].argmax())]
        way = tree.way_along(fork, up, [child for child in tree.children(fork) if middle[child]]) if fork >= 0 else []
        if len(way) >= 2:
            found["neck"], found["head"] = tree.one(way[0]), tree.one(way[-1])
            notes.append(f"neck and head are '{tree.names[way[0]]}' and '{tree.names[way[-1]]}', above where arms part")
    return tuple(notes)


def _fill_ends(found: dict[str, np.ndarray], tree: JointTree) -> tuple[str, ...]:
    """Toes and head from the ends of the bones before them, the neck from the shoulders."""
    notes = []
    for joint, before in (("left_foot", "left_ankle"), ("right_foot", "right_ankle"), ("head", "neck")):
        if joint not in found and before in found and found[before].max() == 1:
            end = f"{tree.names[int(found[before].argmax())]}_end"
            if end in tree.names:
                found[joint] = tree.one(tree.names.index(end))
                notes.append(f"{joint} is the end of the bone '{end.removesuffix('_end')}'")
    if "neck" not in found and {"left_shoulder", "right_shoulder"} <= found.keys():
        found["neck"] = (found["left_shoulder"] + found["right_shoulder"]) / 2
        notes.append("neck is midway between the shoulders")
    return tuple(notes)


def _fill_spine(found: dict[str, np.ndarray], tree: JointTree) -> tuple[str, ...]:
    given = [joint for joint in _SPINE if joint in found]
    missing = [joint for joint in _SPINE if joint not in found]
    if not missing:
        return ()
    between = [] if given else _between(found, tree)
    corners = [found["pelvis"], *(found[joint] for joint in given), *between, found["neck"]]
    if len(between) == len(_SPINE):
        found.update((joint, tree.one(index)) for joint, index in zip(_SPINE, between))
        return ()
    if given:
        ways = np.array([0, *(_SPINE[joint] for joint in given), 1])
    else:
        places = [tree.pose[corner] if isinstance(corner, int) else corner @ tree.pose for corner in corners]
        ways = np.cumsum([0, *np.linalg.norm(np.diff(places, axis=0), axis=-1)])
        ways = ways / ways[-1] if ways[-1] > 0 else np.linspace(0, 1, len(corners))
    rows = {joint: _between_corners(corners, ways, _SPINE[joint], tree) for joint in missing}
    found.update(rows)
    return (f"{', '.join(missing)} placed along the file's spine",)


def _between_corners(
    corners: list[int | np.ndarray], ways: Float[np.ndarray, "corners"], way: float, tree: JointTree
) -> np.ndarray:
    """Weights of the point on a polyline of joints, or of weighted means of joints, by how far along it is."""
    before = int(np.clip(np.searchsorted(ways, way, side="right") - 1, 0, len(ways) - 2))
    gap = ways[before + 1] - ways[before]
    share = (way - ways[before]) / gap if gap > 0 else 0.0
    start, end = (tree.one(at) if isinstance(at, int) else at for at in corners[before : before + 2])
    return (1 - share) * start + share * end


def _between(found: dict[str, np.ndarray], tree: JointTree) -> list[int]:
    """The file's joints on the way from pelvis to neck, without those that lie where another does."""
    at, pelvis, way = int(found["neck"].argmax()), int(found["pelvis"].argmax()), []
    if found["neck"].max() < 1:  # a point between joints has no parent: go down from the head
        at = int(found["head"].argmax())
    before = at
    while tree.parents[at] not in (-1, pelvis):
        at = tree.parents[at]
        if not tree.together(at, before) and not tree.together(at, pelvis):
            way.append(at)
            before = at
    return way[::-1]


def _fill_collars(found: dict[str, np.ndarray], tree: JointTree) -> tuple[str, ...]:
    # Many tools put both collars onto the spine, from where SMPL's stand off to the sides.
    if all(joint in found for joint in _COLLARS):
        across = np.linalg.norm((found["left_collar"] - found["right_collar"]) @ tree.pose)
        if across > 1e-3 * tree.size:
            return ()
    for side, joint in zip(("left", "right"), _COLLARS):
        found[joint] = (found["spine3"] + found[f"{side}_shoulder"]) / 2
    return ("collars placed midway between spine3 and shoulders",)


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _keys(names: tuple[str, ...]) -> list[Key]:
    """Side and part of every name, without a namespace and the words that most names begin or end with."""
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
