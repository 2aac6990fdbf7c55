"""Skeletons: which joints there are, how bones join them, and what the features of each are made from."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Skeleton:
    """A tree of joints with joint 0 as its root, and the conventions of its data set.

    Attributes:
      name: how files and settings call it.
      joints: names of the joints, in the order of the data.
      chains: kinematic chains, each from the joint where it begins outwards; together they reach every joint.
      directions: unit vector of the bone that ends in each joint, in the pose in which all of the features' rotations
        are zero.
      sides: pairs (left, right) of joints that mirroring exchanges.
      hips: (right, left), which with `shoulders` say where the body faces.
      shoulders: (right, left).
      legs: joints at the ends of the two bones whose lengths scale a body to the target skeleton.
      feet: (ankle, toe) of the left and of the right foot, whose rest is a foot contact.
      contact: squared displacement in a frame, in the data set's unit, below which such a joint touches the ground.
      fps: frames in a second of the data set.
      unit: metres in the unit of the data set's files and features.
    """

    name: str
    joints: tuple[str, ...]
    chains: tuple[tuple[int, ...], ...]
    directions: tuple[tuple[int, int, int], ...]
    sides: tuple[tuple[int, int], ...]
    hips: tuple[int, int]
    shoulders: tuple[int, int]
    legs: tuple[int, int]
    feet: tuple[tuple[int, int], tuple[int, int]]
    contact: float
    fps: float
    unit: float

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """The joint at the other end of each joint's bone; -1 for the root."""
        parents = [-1] * len(self.joints)
        for chain in self.chains:
            for parent, child in pairwise(chain):
                parents[child] = parent
        return tuple(parents)

    @property
    def features(self) -> int:
        """Features of a frame: 4 of the root, 3 + 6 of every other joint, 3 velocities of every joint, 4 contacts."""
        joints = len(self.joints)
        return 4 + 9 * (joints - 1) + 3 * joints + 4

    @cached_property
    def chain_parents(self) -> tuple[int, ...]:
        """The joint before each joint in its chain, the root where a chain begins: what bone rotations count from."""
        parents = [-1] * len(self.joints)
        for chain in self.chains:
            for parent, child in zip((0, *chain[1:]), chain[1:]):
                parents[child] = parent
        return tuple(parents)

    @cached_property
    def mirrored(self) -> Int[np.ndarray, "joints"]:
        """For every joint the one that takes its place in the mirror."""
        order = np.arange(len(self.joints))
        for left, right in self.sides:
            order[[left, right]] = right, left
        return order

    def offsets(self, pose: Float[np.ndarray, "*batch joints 3"]) -> Float[np.ndarray, "*batch joints 3"]:
        """Bones of the rest pose with the lengths that they have in `pose`: what a target skeleton is given by."""
        parents = np.array(self.parents)
        parents[0] = 0
        lengths = np.linalg.norm(pose - pose[..., parents, :], axis=-1, keepdims=True)
        return np.asarray(self.directions, pose.dtype) * lengths


_UP = (0, 1, 0)
_DOWN = (0, -1, 0)
_AHEAD = (0, 0, 1)
_LEFT = (1, 0, 0)
_RIGHT = (-1, 0, 0)
_NONE = (0, 0, 0)

HUMANML3D = Skeleton(
    name="humanml3d",
    joints=(
        "pelvis",
        "left_hip",
        "right_hip",
        "spine1",
        "left_knee",
        "right_knee",
        "spine2",
        "left_ankle",
        "right_ankle",
        "spine3",
        "left_foot",
        "right_foot",
        "neck",
        "left_collar",
        "right_collar",
        "head",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
    ),
    chains=((0, 2, 5, 8, 11), (0, 1, 4, 7, 10), (0, 3, 6, 9, 12, 15), (9, 14, 17, 19, 21), (9, 13, 16, 18, 20)),
    directions=(
        *(_NONE, _LEFT, _RIGHT, _UP, _DOWN, _DOWN, _UP, _DOWN, _DOWN, _UP, _AHEAD, _AHEAD, _UP, _LEFT, _RIGHT, _AHEAD),
        *(_DOWN,) * 6,
    ),
    sides=((1, 2), (4, 5), (7, 8), (10, 11), (13, 14), (16, 17), (18, 19), (20, 21)),
    hips=(2, 1),
    shoulders=(17, 16),
    legs=(5, 8),
    feet=((7, 10), (8, 11)),
    contact=0.002,
    fps=20.0,
    unit=1.0,
)
"""The 22 body joints of SMPL as in HumanML3D (Guo et al. 2022): 263 features at 20 fps, metres."""

KIT = Skeleton(
    name="kit",
    joints=(
        "pelvis",
        "spine1",
        "spine2",
        "neck",
        "head",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_hip",
        "right_knee",
        "right_ankle",
        "right_heel",
        "right_foot",
        "left_hip",
        "left_knee",
        "left_ankle",
        "left_heel",
        "left_foot",
    ),
    chains=((0, 11, 12, 13, 14, 15), (0, 16, 17, 18, 19, 20), (0, 1, 2, 3, 4), (3, 5, 6, 7), (3, 8, 9, 10)),
    directions=(
        *(_NONE, _UP, _UP, _UP, _UP, _LEFT, _DOWN, _DOWN, _RIGHT, _DOWN, _DOWN),
        *(_LEFT, _DOWN, _DOWN, _AHEAD, _AHEAD, _RIGHT, _DOWN, _DOWN, _AHEAD, _AHEAD),
    ),
    sides=((8, 5), (9, 6), (10, 7), (16, 11), (17, 12), (18, 13), (19, 14), (20, 15)),
    hips=(11, 16),
    shoulders=(5, 8),
    legs=(17, 18),
    feet=((19, 20), (14, 15)),
    contact=0.05,
    fps=12.5,
    unit=0.75 / 480,
)
"""The 21 joints of KIT-ML as HumanML3D's authors prepared them: 251 features at 12.5 fps, 640 units to the metre.

The unit is a millimetre of the Master Motor Map's model body, which is a metre tall; 640 of them to the metre give the
legs of a grown-up.

Left and right are where the files show them: a body that faces +z has joints 5 to 7 and 11 to 15 at -x. The recordings
that the files were made from call these joints left. The directions are those that the features of the field count
from; they have the sides exchanged, which matters to nothing else.
"""

SKELETONS: dict[str, Skeleton] = {skeleton.name: skeleton for skeleton in (HUMANML3D, KIT)}
"""All skeletons by name."""
