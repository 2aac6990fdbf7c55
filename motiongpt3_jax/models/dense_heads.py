"""Query, key, value and output projections: heads are an axis of the kernels, so that a mesh can split them."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Kernel = Float[Array, "width heads head_width"]
Bias = Float[Array, "heads head_width"] | None


class HeadWeights(nn.Module):
    """Parameters of a query, key or value projection; `dense_to_heads` multiplies with several of them.

    Attributes:
      heads, head_width: of the projection's result.
      kernel_init: how the kernel starts; the bias starts with zeros.
      use_bias: whether there is one.
    """

    heads: int
    head_width: int
    kernel_init: nn.initializers.Initializer
    use_bias: bool = True

    @nn.compact
    def __call__(self, width: int) -> tuple[Kernel, Bias]:
        """(kernel, bias) for inputs of a width."""
        heads = (self.heads, self.head_width)
        kernel = self.param("kernel", self.kernel_init, (width, *heads))
        return kernel, self.param("bias", nn.initializers.zeros, heads) if self.use_bias else None


def dense_to_heads(
    x: Float[Array, "batch slots width"], weights: Sequence[tuple[Kernel, Bias]], dtype: str
) -> Float[Array, "projections batch heads slots head_width"]:
    """Query, key and value projections of one input as one product.

    In a training step on a CPU one product is a third faster than three. The kernels are stacked beside their heads,
    not along them, so that a mesh that splits heads moves nothing; the input is one matrix as in `flat_product`.
    """
    kernels, biases = zip(*weights)
    x, kernel = nn.dtypes.promote_dtype(x, jnp.stack(kernels, axis=1), dtype=dtype)
    y = jax.lax.dot_general(x.reshape(-1, x.shape[-1]), kernel, (((1,), (0,)), ((), ())))
    if biases[0] is not None:
        y = y + jnp.stack(biases).astype(y.dtype)
    return jnp.transpose(y.reshape(*x.shape[:2], *y.shape[1:]), (2, 0, 3, 1, 4))


class DenseFromHeads(nn.Module):
    """Output projection of an attention: (heads, head width) to width.

    Attributes:
      width: of the result.
      dtype: of the computation.
      kernel_init: how the kernel starts; the bias starts with zeros.
      use_bias: whether there is one.
    """

    width: int
    dtype: str
    kernel_init: nn.initializers.Initializer
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "batch slots heads head_width"]) -> Float[Array, "batch slots width"]:
        kernel = self.param("kernel", self.kernel_init, (*x.shape[2:], self.width))
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        y = x.reshape(*x.shape[:2], -1) @ kernel.reshape(-1, self.width)
        if not self.use_bias:
            return y
        return y + self.param("bias", nn.initializers.zeros, (self.width,)).astype(y.dtype)
