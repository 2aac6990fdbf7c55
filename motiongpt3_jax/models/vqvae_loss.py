"""The VQ-VAE's loss as sums and counts."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.vae_loss import smooth_l1

DISTANCES: dict[str, Callable[[Array], Array]] = {"smooth_l1": smooth_l1, "l1": jnp.abs, "l2": jnp.square}
"""How far a decoded number is from its target, by name."""


def position_columns(features: int) -> slice:
    """Feature columns of the joints' positions; a frame of J joints holds 12 J - 1 numbers (263 for 22, 251 for 21).

    Raises:
      UserError: no number of joints has frames of this width.
    """
    joints, rest = divmod(features + 1, 12)
    if rest or joints < 2:
        raise UserError(f"frames of {features} features hold no joints' positions; J joints have 12 J - 1 features")
    return slice(4, 4 + 3 * (joints - 1))


def vqvae_loss(
    features: Float[Array, "clips frames features"],
    decoded: Float[Array, "clips frames features"],
    vectors: Float[Array, "clips codes width"],
    quantised: Float[Array, "clips codes width"],
    frames: Int[Array, "clips"],
    codes: Int[Array, "clips"],
    distance: str = "smooth_l1",
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Sums and counts of the distance of features and of positions, and of the squared commitment error.

    Args:
      features: what went in.
      decoded: what came out.
      vectors: of the encoder.
      quantised: rows of the codebook in their place; no gradient goes there.
      frames: of each clip that count; 0 marks an empty place, which counts nowhere.
      codes: of each clip that count.
      distance: one of `DISTANCES`.
    """
    inside = (jnp.arange(features.shape[1]) < frames[:, None])[..., None]
    errors = DISTANCES[distance](jnp.where(inside, decoded - features, 0.0))
    positions = errors[..., position_columns(features.shape[-1])]
    real = (jnp.arange(vectors.shape[1]) < codes[:, None])[..., None]
    commit = jnp.where(real, vectors - jax.lax.stop_gradient(quantised), 0.0) ** 2
    places = frames.sum().astype(jnp.float32)
    sums = {"features": errors.sum(), "positions": positions.sum(), "commit": commit.sum()}
    counts = {
        "features": places * features.shape[-1],
        "positions": places * positions.shape[-1],
        "commit": codes.sum().astype(jnp.float32) * vectors.shape[-1],
    }
    return sums, counts
