"""The VAE's loss as sums and counts."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

ROOT = slice(0, 3)
"""Feature columns of the root's velocities: about the vertical, and along the floor."""


class JointColumns(NamedTuple):
    """Feature columns of joint positions, which follow four of the root and stand for every joint but the root.

    Attributes:
      positions: of all joints (the official code calls this term the velocity).
      feet: of the joints of the feet.
    """

    positions: slice
    feet: Int[np.ndarray, "columns"]

    @classmethod
    def of(cls, joints: int, feet: Sequence[int]) -> "JointColumns":
        """The columns of a skeleton of so many joints, among which `feet` are."""
        columns = [4 + 3 * (joint - 1) + axis for joint in feet for axis in range(3)]
        return cls(slice(4, 4 + 3 * (joints - 1)), np.array(columns))


HUMANML3D_COLUMNS = JointColumns.of(22, (7, 8, 10, 11))
"""Columns of HumanML3D's joints; the feet are ankles and toes."""


def vae_loss(
    features: Float[Array, "clips frames features"],
    decoded: Float[Array, "clips frames features"],
    mean: Float[Array, "clips latents width"],
    log_variance: Float[Array, "clips latents width"],
    frames: Int[Array, "clips"],
    padding: bool,
    columns: JointColumns = HUMANML3D_COLUMNS,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Sums and counts of smooth-L1 of features, positions and drift, L1 of the feet, and the KL divergence.

    Drift is the running sum of the errors in the root's velocities: how far heading and place are off by each frame.
    The term of the feet is the error of their places beside the root and of their velocities (differences from frame to
    frame): small ones, where smooth-L1 has hardly a slope, are what makes feet slide.

    Args:
      features: what went in, zero beyond a clip's frames.
      decoded: what came out, likewise.
      mean: of the posterior.
      log_variance: of the posterior.
      frames: of each clip; 0 marks an empty place, which counts nowhere.
      padding: whether frames beyond a clip's own count too.
      columns: where the joints stand among the features.
    """
    real = (frames > 0).astype(jnp.float32)
    counted = jnp.where(frames > 0, features.shape[1], 0) if padding else frames
    difference = (decoded - features) * real[:, None, None]
    errors, drift = smooth_l1(difference), smooth_l1(jnp.cumsum(difference[..., ROOT], axis=1))
    inside = jnp.arange(features.shape[1])[:, None] < frames[:, None, None]
    drift *= inside
    feet = difference[..., columns.feet]
    stance, slide = jnp.abs(feet) * inside, jnp.abs(jnp.diff(feet, axis=1)) * inside[:, 1:]
    divergence = 0.5 * (jnp.exp(log_variance) + mean**2 - 1 - log_variance) * real[:, None, None]
    places = counted.sum().astype(jnp.float32)
    positions = errors[..., columns.positions]
    sums = {
        "features": errors.sum(),
        "positions": positions.sum(),
        "drift": drift.sum(),
        "feet": stance.sum() + slide.sum(),
        "kl": divergence.sum(),
    }
    counts = {
        "features": places * features.shape[-1],
        "positions": places * positions.shape[-1],
        "drift": places * drift.shape[-1],
        "feet": frames.sum() * feet.shape[-1],
        "kl": real.sum() * mean[0].size,
    }
    return sums, counts


def smooth_l1(difference: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Half the square below 1, the distance minus a half beyond."""
    distance = jnp.abs(difference)
    return jnp.where(distance < 1, 0.5 * distance**2, distance - 0.5)
