"""The scale of latents: measured per channel here, one constant officially.

Our language model reads and makes latents of mean 0 and deviation 1 in every channel, by moments that were measured
while the VAE trained. The official code multiplies a latent with one constant on the way in and divides on the way
out. So moments that are not that constant go into the layers beside them: the projection of understood latents, and
the keys and values that the VAE's decoder makes of a latent.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError

OFFICIAL_SCALE = 0.8457
"""The official factor from the VAE's latents to the language model's on HumanML3D."""

READERS = (("inputs", "block"), ("middle",), ("outputs", "block"))
"""Where the layers lie in the VAE's decoder; the keys and values of their cross-attention are made of a latent."""

Tree = Mapping[str, Any]


def constant_moments(state: Tree, scale: float = OFFICIAL_SCALE) -> bool:
    """Whether latents have the moments that one factor stands for."""
    square = np.float32(scale**-2)
    return not np.any(np.asarray(state["latent_mean"])) and bool(np.all(np.asarray(state["latent_square"]) == square))


def fold_moments(params: Tree, state: Tree, scale: float = OFFICIAL_SCALE) -> dict[str, Any]:
    """Parameters that answer with the constant `scale` as the given ones do with their measured moments.

    What changes is how a latent is named between the VAE and the language model: the VAE's decoder then reads other
    latents than its encoder makes, so encoding and decoding alone no longer give a motion back.

    Raises:
      UserError: a clip has several latents with different moments, which share one projection in the decoder.
    """
    # As the system computes them, so that rounding is the same.
    mean, square = (np.asarray(state[name], np.float32) for name in ("latent_mean", "latent_square"))
    deviation = np.sqrt(np.maximum(square - mean**2, np.float32(1e-6)))
    if np.any(mean != mean[0]) or np.any(deviation != deviation[0]):
        raise UserError(
            f"the {len(mean)} latents of a clip have different moments, and the official VAE has one projection for "
            "all: only models with one latent can be exported so"
        )
    mean, factor = mean.astype(np.float64), deviation.astype(np.float64) * scale
    decoder = params["vae"]["decoder"]
    for path in READERS:
        decoder = _at(decoder, (*path, "cross_attention"), partial(_reader, mean=mean[0], factor=factor[0]))
    understand = _understanding(params["understand"], scale * mean.reshape(-1, 1), factor.reshape(-1, 1))
    return {**params, "understand": understand, "vae": {**params["vae"], "decoder": decoder}}


def _understanding(
    layer: Tree, mean: Float[np.ndarray, "channels 1"], factor: Float[np.ndarray, "channels 1"]
) -> dict[str, np.ndarray]:
    """Reads scaled latents, whose mean is `mean`, as if they were of mean 0 and deviation 1."""
    kernel = np.asarray(layer["kernel"], np.float64) / factor
    bias = np.asarray(layer["bias"], np.float64) - np.sum(mean * kernel, axis=0)
    return {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}


def _reader(layer: Tree, mean: Float[np.ndarray, "width"], factor: Float[np.ndarray, "width"]) -> dict[str, Any]:
    """Cross-attention whose keys and values undo both scales: of `factor` times a latent, plus `mean`."""
    width = len(mean)
    kernel, bias = (np.array(layer[name], np.float64) for name in ("in_kernel", "in_bias"))
    bias[..., width:] += mean @ kernel[..., width:]
    kernel[..., width:] *= factor[:, None]
    return {**layer, "in_kernel": kernel.astype(np.float32), "in_bias": bias.astype(np.float32)}


def _at(tree: Tree, path: Sequence[str], change: Callable[[Tree], Tree]) -> dict[str, Any]:
    """The nested dictionary with the one at `path` changed."""
    if not path:
        return dict(change(tree))
    return {**tree, path[0]: _at(tree[path[0]], path[1:], change)}
