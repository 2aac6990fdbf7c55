"""Infer the unit of length of a body, from the lengths of its limbs."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.skeleton import HUMANML3D

UNITS = {
    "metres": 1.0,
    "centimetres": 0.01,
    "millimetres": 0.001,
    "inches": 0.0254,
    "CMU's units of 5.64 cm": 0.0254 / 0.45,
    "decimetres": 0.1,
    "feet": 0.3048,
}
"""Metres in the units that files come in."""

SIZES = (0.55, 1.6)
"""The smallest and the largest people, as shares of a grown-up."""

_PARTS = {
    "legs": (("left_hip", "left_knee", "left_ankle"), ("right_hip", "right_knee", "right_ankle"), 0.82),
    "arms": (("left_shoulder", "left_elbow", "left_wrist"), ("right_shoulder", "right_elbow", "right_wrist"), 0.51),
    "trunk": (("pelvis", "spine1", "spine2", "spine3", "neck"), ("pelvis", "spine1", "spine2", "spine3", "neck"), 0.5),
}
"""Chains of the left and of the right, and their length in a grown-up, metres."""


def likeliest_unit(joints: Float[np.ndarray, "*batch 22 3"]) -> tuple[float, str]:
    """Metres in a unit of the joints, and a sentence on it: the unit that makes the body most like a grown-up's.

    The body's size is the middle one of what its legs, arms and trunk say, so that one odd part does not decide.

    Args:
      joints: bodies in some unit.

    Raises:
      UserError: the body has no size.
    """
    lengths, sizes = {}, []
    for part, (left, right, usual) in _PARTS.items():
        lengths[part] = np.mean([_length(joints, left), _length(joints, right)])
        sizes.append(lengths[part] / usual)
    size = float(np.median(sizes))
    legs, arms = lengths["legs"], lengths["arms"]
    if size <= 0 or legs <= 0:
        raise UserError("the legs have no length; give the right joints with a mapping file.")
    fitting = fitting_units(size)
    if not fitting:
        return 1 / size, f"legs of {legs:.3g} fit no usual unit: the body was given the size of a grown-up"
    best, *others = fitting
    metres = UNITS[best]
    note = f"lengths are read as {best}: legs of {legs * metres:.2f} m, arms of {arms * metres:.2f} m"
    if others:
        other = UNITS[others[0]]
        note += f" (if it is {others[0]}, legs of {legs * other:.2f} m, give --mapping '{{\"unit\": {other:.6g}}}')"
    return metres, note


def fitting_units(size: float) -> list[str]:
    """The units in which a body is of human size, likeliest first.

    Args:
      size: of the body, as a share of a grown-up's, if its unit were the metre.
    """
    away = {name: abs(np.log(size * metres)) for name, metres in UNITS.items()}
    return sorted((name for name, metres in UNITS.items() if SIZES[0] <= size * metres <= SIZES[1]), key=away.get)


def _length(joints: Float[np.ndarray, "*batch 22 3"], chain: tuple[str, ...]) -> float:
    """The middle length of a chain of joints."""
    index = [HUMANML3D.joints.index(name) for name in chain]
    bones = [np.linalg.norm(joints[..., b, :] - joints[..., a, :], axis=-1) for a, b in pairwise(index)]
    return float(np.median(sum(bones)))
