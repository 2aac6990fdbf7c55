"""Foot skate cleanup of a motion, with a line on how much it changed."""

import sys
from dataclasses import replace

import numpy as np

from motiongpt3_jax.motion import Motion, clean_feet
from motiongpt3_jax.motion.feet import skating


def clean(motion: Motion, name: str) -> Motion:
    """The motion with feet held where they stand; says how fast they slid over the floor before and afterwards."""
    skeleton, fps = motion.skeleton, motion.fps
    cleaned = np.stack([clean_feet(person, skeleton, fps) for person in motion.joints])
    before = max(skating(person, skeleton, fps) for person in motion.joints)
    after = max(skating(person, skeleton, fps, old) for person, old in zip(cleaned, motion.joints))
    left = "; what slides on and on is left" if after > max(0.5 * before, 0.05) else ""
    print(f"{name}: feet on the floor slid {before:.2f} m/s, now {after:.2f} m/s{left}", file=sys.stderr)
    return replace(motion, joints=cleaned)
