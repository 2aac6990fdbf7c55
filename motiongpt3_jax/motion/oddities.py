"""What is odd about joints that are said to be a body's, in metres and with y up."""

import numpy as np

from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.motion import Motion

LEGS = (0.3, 1.5)
"""Shortest and longest leg that bodies have, metres."""


def oddities(motion: Motion) -> tuple[str, ...]:
    """Sentences on a body of no human size, or one that stands along another axis than y; none where all is well."""
    skeleton, joints = motion.skeleton, np.asarray(motion.joints, np.float64)
    feet = [toe for _, toe in skeleton.feet]
    chain = next(chain for chain in skeleton.chains if feet[0] in chain)[1:]
    leg = float(np.median(np.linalg.norm(np.diff(joints[:, :, chain], axis=2), axis=-1).sum(axis=-1)))
    found = []
    if not LEGS[0] <= leg <= LEGS[1]:
        found.append(f"the body has legs of {leg:.3g} m; joints are taken as metres: scale them if they are not")
    top = skeleton.joints.index("head")
    tall = np.median(rotations.unit(joints[:, :, top] - joints[:, :, feet].mean(axis=2)), axis=(0, 1))
    if tall[1] < 0.3:
        found.append("the body lies or hangs: y is taken for the vertical axis; turn the joints if another one is")
    return tuple(found)
