"""Quantisation of relative poses: uniform bins of the yaw, and mu-law companding of x and z, which is finest near 0.

A place is (yaw, x, z), see `motion.pairs`. Neighbouring codes of x and z are 1.7 cm apart at 0, 5 cm at 1 m, 9 cm at
2 m and 15 cm at 4 m; those of the yaw are 5.6 degrees apart.
"""

import numpy as np
from jaxtyping import Float, Int

YAWS = 64
"""Codes of the yaw, over a full turn; code 0 is none."""

STEPS = 128
"""Codes of x, and of z."""

FARTHEST = 4.0
"""Metres along x and z; what is farther away gets the last code."""

MU = 8.0
"""Companding constant (ITU-T G.711 has 255): how much denser codes are at 0 than an even spread would be."""


def encode_places(places: Float[np.ndarray, "*batch 3"]) -> Int[np.ndarray, "*batch 3"]:
    """The nearest codes of places: of the yaw in 0 .. YAWS - 1, of x and z in 0 .. STEPS - 1."""
    places = np.asarray(places, np.float64)
    yaw = np.round(places[..., 0] * (YAWS / (2 * np.pi))).astype(np.int64) % YAWS
    ground = np.clip(places[..., 1:] / FARTHEST, -1, 1)
    level = np.sign(ground) * np.log1p(MU * np.abs(ground)) / np.log1p(MU)
    steps = np.clip(np.round((level + 1) * (STEPS - 1) / 2), 0, STEPS - 1).astype(np.int64)
    return np.concatenate([yaw[..., None], steps], axis=-1)


def decode_places(codes: Int[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
    """The places that codes stand for, with yaws in [-pi, pi)."""
    codes = np.asarray(codes)
    yaw = (codes[..., 0] + YAWS // 2) % YAWS - YAWS // 2
    level = 2 * codes[..., 1:] / (STEPS - 1) - 1
    ground = FARTHEST * np.sign(level) * np.expm1(np.abs(level) * np.log1p(MU)) / MU
    return np.concatenate([yaw[..., None] * (2 * np.pi / YAWS), ground], axis=-1)
