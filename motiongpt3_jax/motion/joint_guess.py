"""Guess a joint mapping from the skeleton's topology where names do not tell: limbs come in pairs of equal length."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from motiongpt3_jax.motion.joint_tree import JointTree
from motiongpt3_jax.motion.skeleton import HUMANML3D

UNKNOWN = "?"
"""Stands in a mapping for a joint without a guess."""

EQUAL = 0.05
"""Share by which the limbs of a pair differ in length at most."""

LIMB = 0.3
"""Share of the body's size that a limb measures at least."""

MOST_JOINTS = 2000
"""Joints of a skeleton beyond which nothing is guessed: comparing all limbs would take long."""

_LEG = ("hip", "knee", "ankle", "foot")
_ARM = ("shoulder", "elbow", "wrist")
_NEEDED = tuple(joint for joint in HUMANML3D.joints if not joint.startswith("spine") and "collar" not in joint)


def guess_mapping(tree: JointTree, ours: Mapping[str, Sequence[str]], missing: Sequence[str]) -> dict[str, Any]:
    """A mapping of all joints that a file must name: known ones, guesses for the missing ones, or "?".

    Args:
      tree: the file's joints.
      ours: names of the file's joints by ours, as far as they are known.
      missing: our joints that are not.
    """
    guesses = _guesses(tree, ours) if missing and len(tree.names) <= MOST_JOINTS else {}
    mapping: dict[str, Any] = {}
    for joint in (name for name in HUMANML3D.joints if name in _NEEDED or name in ours):
        names = list(ours.get(joint) or (guesses.get(joint, UNKNOWN),))
        mapping[joint] = names[0] if len(names) == 1 else names[:2]
    return mapping


def mapping_text(mapping: Mapping[str, Any]) -> str:
    """The mapping as one line of JSON."""
    return json.dumps(mapping, ensure_ascii=False)


def _guesses(tree: JointTree, ours: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Names of the file's joints by ours: the pair of limbs nearest the root are legs, the next ones arms."""
    pairs = sorted(_pairs(tree), key=lambda pair: len(tree.path(pair[0])))
    legs = pairs[0] if pairs else None
    arms = next((pair for pair in pairs if pair[0] != pairs[0][0]), None)
    if legs is None or arms is None:
        return {}
    guesses = {"pelvis": tree.names[legs[0]]}
    up = tree.pose[arms[0]] - tree.pose[legs[0]]
    starts = [child for child in tree.children(arms[0]) if child not in (*arms[1], *arms[2])]
    neck = tree.chain_along(arms[0], up, starts)
    if neck:
        guesses |= {"neck": tree.names[neck[0]], "head": tree.names[neck[-1]]}
    feet = [_limb(tree, chain, _LEG) for chain in legs[1:]]
    ahead = sum(tree.pose[leg["foot"]] - tree.pose[leg["ankle"]] for leg in feet if "foot" in leg) + np.zeros(3)
    for (_, *chains), parts in ((legs, _LEG), (arms, _ARM)):
        sides = _sides(tree, chains, ours, np.cross(up, ahead))
        for side, chain in zip(sides, chains):
            guesses |= {f"{side}_{part}": tree.names[joint] for part, joint in _limb(tree, chain, parts).items()}
    return guesses


def _pairs(tree: JointTree) -> Iterator[tuple[int, list[int], list[int]]]:
    """A joint, and the chains of two limbs of equal length that part there."""
    for fork in range(len(tree.names)):
        children = tree.children(fork)
        chains = [_chain(tree, child) for child in children] if len(children) > 1 else []
        chains = [chain for chain in chains if len(chain) >= 3 and _length(tree, chain) > LIMB * tree.size]
        for a, b in combinations(chains, 2):
            lengths = _length(tree, a), _length(tree, b)
            if len(a) == len(b) and max(lengths) - min(lengths) < EQUAL * max(lengths):
                yield fork, a, b


def _chain(tree: JointTree, start: int) -> list[int]:
    """The longest path of a tree outwards from a joint, without joints that lie where the one before does."""
    reach: dict[int, float] = {}
    below, order = [start], []
    while below:
        order.append(joint := below.pop())
        below += tree.children(joint)
    for joint in reversed(order):
        reach[joint] = max((reach[child] + _bone(tree, child) for child in tree.children(joint)), default=0.0)
    chain = [start]
    while children := tree.children(chain[-1]):
        chain.append(max(children, key=lambda child: reach[child] + _bone(tree, child)))
    return [joint for joint in chain if not tree.coincide(joint, tree.parents[joint])]


def _bone(tree: JointTree, joint: int) -> float:
    return float(np.linalg.norm(tree.pose[joint] - tree.pose[tree.parents[joint]]))


def _length(tree: JointTree, chain: Sequence[int]) -> float:
    return sum(float(np.linalg.norm(tree.pose[b] - tree.pose[a])) for a, b in pairwise(chain))


def _limb(tree: JointTree, chain: Sequence[int], parts: Sequence[str]) -> dict[str, int]:
    """The chain's joints by part: the two long bones in a row begin at the first part and end at the third."""
    bones = [_length(tree, pair) for pair in pairwise(chain)]
    first = int(np.argmax([min(pair) for pair in pairwise(bones)]))
    return dict(zip(parts, chain[first:]))


def _sides(
    tree: JointTree, chains: Sequence[Sequence[int]], ours: Mapping[str, Sequence[str]], left: np.ndarray
) -> tuple[str, str]:
    """The sides of two limbs: as the known joints have it, else as the feet point."""
    sides = {name: joint.partition("_")[0] for joint, names in ours.items() for name in names}
    known = {sides.get(tree.names[joint]) for joint in chains[0]} & {"left", "right"}
    if len(known) == 1:
        return ("left", "right") if known == {"left"} else ("right", "left")
    is_left = (tree.pose[chains[0][0]] - tree.pose[chains[1][0]]) @ left >= 0
    return ("left", "right") if is_left else ("right", "left")
