"""Convolutions over time of clips of several lengths in one batch, each zero-padded at its own ends."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from motiongpt3_jax.models.constrain import Constrain, unconstrained
from motiongpt3_jax.models.dense import Params, apply_params, dense


def mask_frames(x: Float[Array, "clips frames width"], frames: Int[Array, "clips"]) -> Array:
    """Zero beyond each clip's frames, as a convolution's padding would have it if the clip were alone."""
    return jnp.where((jnp.arange(x.shape[1]) < frames[:, None])[..., None], x, 0)


class Conv(nn.Module):
    """A 1-D convolution over frames, with a bias; its kernel is (kernel, inputs, features), started as PyTorch's.

    With a stride of 1 the kernel is odd and the length stays; with a stride of 2 the kernel is 4 and half of the frames
    stay, rounded down. Frames beyond the end of a clip count as zero, whatever they hold.

    Attributes:
      features: width of the result.
      kernel: how many frames one result sees.
      dtype: of the computation.
      dilation: distance of those frames.
      stride: distance of the results.
      constrain: where a mesh may pin the result.
    """

    features: int
    kernel: int
    dtype: str
    dilation: int = 1
    stride: int = 1
    constrain: Constrain = unconstrained

    @nn.compact
    def __call__(
        self, x: Float[Array, "clips frames inputs"], frames: Int[Array, "clips"]
    ) -> Float[Array, "clips results features"]:
        bound = (x.shape[-1] * self.kernel) ** -0.5

        def uniform(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        kernel = self.param("kernel", uniform, (self.kernel, x.shape[-1], self.features))
        params = {"kernel": kernel, "bias": self.param("bias", uniform, (self.features,))}
        if self.kernel > 1:
            x = mask_frames(x, frames)
        apply = partial(_convolve, self.stride, self.dilation)
        return apply_params(apply, x, params, self.dtype, self.constrain)


def _convolve(
    stride: int, dilation: int, x: Float[Array, "clips frames inputs"], params: Params
) -> Float[Array, "clips results features"]:
    kernel = params["kernel"]
    if len(kernel) == 1:
        return dense(x, {**params, "kernel": kernel[0]})
    padding = dilation * (len(kernel) - 1) // 2
    result = jax.lax.conv_general_dilated(
        x, kernel, (stride,), [(padding, padding)], rhs_dilation=(dilation,), dimension_numbers=("NWC", "WIO", "NWC")
    )
    return result + params["bias"]
