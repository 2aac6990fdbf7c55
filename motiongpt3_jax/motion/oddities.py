"""What is odd about joints that are said to be a body's, in metres and with y up."""

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.skeleton import HUMANML3D, Skeleton

LEGS = (0.3, 1.5)
"""Shortest and longest leg that bodies have, metres."""


def oddities(motion: Motion) -> tuple[str, ...]:
    """Sentences on a body of no human size, or one that stands along another axis than y; none where all is well."""
    skeleton, joints = motion.skeleton, np.asarray(motion.joints, np.float64)
    chain = next(chain for chain in skeleton.chains if skeleton.feet[0][1] in chain)[1:]
    leg = float(np.median(np.linalg.norm(np.diff(joints[:, :, chain], axis=2), axis=-1).sum(axis=-1)))
    found = []
    if not LEGS[0] <= leg <= LEGS[1]:
        found.append(f"the body has legs of {leg:.3g} m; joints are taken as metres: scale them if they are not")
    if np.median(tallness(joints, skeleton)[..., 1]) < 0.3:
        found.append("the body lies or hangs: y is taken for the vertical axis; turn the joints if another one is")
    return tuple(found)


def tallness(
    joints: Float[np.ndarray, "*batch joints 3"], skeleton: Skeleton = HUMANML3D
) -> Float[np.ndarray, "*batch 3"]:
    """The direction from the feet to the head, of length 1."""
    ankles = [ankle for ankle, _ in skeleton.feet]
    return rotations.unit(joints[..., skeleton.joints.index("head"), :] - joints[..., ankles, :].mean(axis=-2))
