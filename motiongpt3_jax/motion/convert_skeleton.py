"""Retarget motions between the skeletons of data sets, whose joints differ: joint positions as weighted means."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.skeleton import HUMANML3D, KIT, SKELETONS, Skeleton

Weights = Mapping[str, float]

_SIDES = ("left", "right")

# KIT's heel is the middle of the foot, and its head lies straight above the neck.
_HUMANML3D_TO_KIT: dict[str, Weights] = {
    "spine2": {"spine3": 1.0},
    "head": {"head": 1.0, "neck": 0.35, "spine3": -0.35},
    **{f"{side}_heel": {f"{side}_ankle": 0.65, f"{side}_foot": 0.35} for side in _SIDES},
}

_KIT_TO_HUMANML3D: dict[str, Weights] = {
    "spine2": {"spine1": 0.25, "spine2": 0.75},
    "spine3": {"spine2": 1.0},
    "head": {"head": 0.4, "neck": 0.6},
    **{f"{side}_collar": {f"{side}_shoulder": 0.45, "neck": 0.3, "spine2": 0.25} for side in _SIDES},
}

_DIFFERENT: dict[tuple[str, str], dict[str, Weights]] = {
    (HUMANML3D.name, KIT.name): _HUMANML3D_TO_KIT,
    (KIT.name, HUMANML3D.name): _KIT_TO_HUMANML3D,
}
"""What the joints of one skeleton are in another one, where not the joint of the same name."""


def convert_skeleton(motion: Motion, skeleton: Skeleton) -> Motion:
    """Convert a motion to the joints of another skeleton; bones keep the sizes of the motion's body.

    Raises:
      UserError: nobody knows how the joints of the two correspond.
    """
    if motion.skeleton.name == skeleton.name:
        return motion
    weights = joint_weights(motion.skeleton.name, skeleton.name)
    return replace(motion, joints=weights @ motion.joints, skeleton=skeleton)


@cache
def joint_weights(name: str, other: str) -> Float[np.ndarray, "other_joints joints"]:
    """Weights of the joints of a skeleton in each joint of another one.

    Raises:
      UserError: nobody knows how their joints correspond.
    """
    if (name, other) not in _DIFFERENT:
        raise UserError(f"joints of the {name} skeleton are not known in the {other} skeleton; give a motion of that.")
    table, joints = _DIFFERENT[name, other], SKELETONS[name].joints
    rows = [table.get(joint, {joint: 1.0}) for joint in SKELETONS[other].joints]
    return np.array([[row.get(joint, 0.0) for joint in joints] for row in rows], np.float32)
