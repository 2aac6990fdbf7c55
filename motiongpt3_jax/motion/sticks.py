"""Stick figure mesh in T-pose: every bone a slim octahedron, every joint a small one."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from motiongpt3_jax.motion.rest import rest_of
from motiongpt3_jax.motion.skeleton import Skeleton

THICKNESS = 0.11
"""Half the width of a stick, in its length."""

SLIM = 0.02
"""Least half width of a stick, metres."""

STOUT = 0.036
"""Greatest half width of a stick, metres."""

HEAD = 0.07
"""Half the width of the head, metres."""

KNOB = 0.024
"""From the middle of a joint to its corners, metres."""

SHORTEST = 1e-4
"""Length, in metres, below which a bone is not drawn: its faces would have no direction."""

# Corners: start, end, and four around the widest place. Triangles run counter-clockwise as seen from outside.
_FACES = np.array([(0, 3, 2), (0, 4, 3), (0, 5, 4), (0, 2, 5), (1, 2, 3), (1, 3, 4), (1, 4, 5), (1, 5, 2)])


@dataclass(frozen=True, eq=False)
class Sticks:
    """Triangles, three corners after another; every corner moves with one joint.

    Attributes:
      positions: metres, in the rest pose.
      normals: unit vectors outwards, one for all three corners.
      joints: the joint with which each corner moves.
    """

    positions: Float[np.ndarray, "corners 3"]
    normals: Float[np.ndarray, "corners 3"]
    joints: Int[np.ndarray, "corners"]


def sticks(places: Float[np.ndarray, "joints 3"], skeleton: Skeleton, sides: tuple[set[int], ...]) -> list[Sticks]:
    """The sticks of a body, in one part for each set of joints: their knobs and the bones that lead to them.

    Args:
      places: the joints in the rest pose, metres.
      skeleton: which joints these are.
      sides: the sets of joints.
    """
    tips = {joint: places[joint] + np.array(tip) / 100 for joint, tip in rest_of(skeleton).tips.items()}
    parts = []
    for side in sides:
        pieces = [
            (octahedron(places[joint] - [0, KNOB, 0], places[joint] + [0, KNOB, 0], KNOB), joint) for joint in side
        ]
        bones = [(places[skeleton.parents[joint]], places[joint], skeleton.parents[joint]) for joint in side - {0}]
        bones += [(places[joint], tips[joint], joint) for joint in side if joint in tips]
        for start, end, joint in bones:
            length = np.linalg.norm(end - start)
            if length > SHORTEST:
                half_width = HEAD if skeleton.joints[joint] == "head" else np.clip(THICKNESS * length, SLIM, STOUT)
                pieces.append((octahedron(start, end, half_width, 0.3), joint))
        corners = np.concatenate([corners for corners, _ in pieces])
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = across / np.linalg.norm(across, axis=-1, keepdims=True)
        owners = np.repeat([joint for _, joint in pieces], 3 * len(_FACES))
        parts.append(Sticks(corners.reshape(-1, 3), np.repeat(normals, 3, axis=0), owners))
    return parts


def octahedron(
    start: Float[np.ndarray, "3"], end: Float[np.ndarray, "3"], half_width: float, widest: float = 0.5
) -> Float[np.ndarray, "8 3 3"]:
    """The triangles of an octahedron between two places.

    Args:
      start: one end.
      end: the other.
      half_width: from its axis to its four other corners.
      widest: where these are, as a share of the way from start to end.
    """
    along = (end - start) / np.linalg.norm(end - start)
    aside = np.cross(along, np.eye(3)[np.argmin(np.abs(along))])
    aside /= np.linalg.norm(aside)
    around = [aside, np.cross(along, aside), -aside, -np.cross(along, aside)]
    middle = start + widest * (end - start)
    return np.stack([start, end, *(middle + half_width * arm for arm in around)])[_FACES]
