"""Query, key, value and output projections: heads are an axis of the kernels, so that a mesh can split them."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from motiongpt3_jax.models.constrain import Constrain, unconstrained
from motiongpt3_jax.models.dense import Params, Product, add_low_rank, apply_params, dense, flat_product
from motiongpt3_jax.models.lora import NO_ADAPTERS, Adapters, LowRank, low_rank


class HeadParams(NamedTuple):
    """What a query, key or value projection multiplies with.

    Attributes:
      kernel, bias: of the projection.
      low: what an adapter adds.
    """

    kernel: Float[Array, "width heads head_width"]
    bias: Float[Array, "heads head_width"] | None
    low: LowRank | None = None


class HeadWeights(nn.Module):
    """Parameters of a query, key or value projection; `dense_to_heads` multiplies with several of them.

    Attributes:
      heads, head_width: of the projection's result.
      kernel_init: how the kernel starts; the bias starts with zeros.
      use_bias: whether there is one.
      adapters: beside the kernel.
    """

    heads: int
    head_width: int
    kernel_init: nn.initializers.Initializer
    use_bias: bool = True
    adapters: Adapters = NO_ADAPTERS

    @nn.compact
    def __call__(self, width: int, deterministic: bool = True) -> HeadParams:
        """The parameters for inputs of a width; `deterministic` has no dropout of an adapter's input."""
        heads = (self.heads, self.head_width)
        kernel = self.param("kernel", self.kernel_init, (width, *heads))
        bias = self.param("bias", nn.initializers.zeros, heads) if self.use_bias else None
        return HeadParams(kernel, bias, low_rank(self.adapters, (width,), heads, deterministic))


def dense_to_heads(
    x: Float[Array, "batch slots width"],
    weights: Sequence[HeadParams],
    dtype: str,
    joined: bool,
    product: Product = flat_product,
    constrain: Constrain = unconstrained,
) -> Sequence[Float[Array, "batch heads slots head_width"]]:
    """Query, key and value projections of one input.

    Args:
      x: the input.
      weights: of each projection; all have as many heads.
      dtype: of the computation.
      joined: as one product where there are many slots, which on a CPU takes a third less of a training step's time and
        on a TPU reads the input once; a decode step would take longer to join kernels than to multiply with them.
        On a mesh that splits heads it would move them: columns of the joined kernel are no longer those of whole heads.
      product: multiplies inputs with a kernel.
      constrain: where a mesh may pin the results.
    """
    batch, slots, width = x.shape
    heads = weights[0].kernel.shape[1:]
    kernels = [params.kernel.reshape(width, -1) for params in weights]
    biases = [None if params.bias is None else params.bias.reshape(-1) for params in weights]
    adapted = any(params.low is not None for params in weights)
    if not joined or batch * slots < width:
        results = [_dense(x, *params, dtype, product, constrain) for params in zip(kernels, biases)]
    else:
        bias = None if biases[0] is None else jnp.concatenate(biases)
        y = _dense(x, jnp.concatenate(kernels, axis=1), bias, dtype, product, constrain)
        if not adapted and constrain is unconstrained:
            # On a CPU all at once take less time; the compiler for TPUs would move them three times.
            return jnp.transpose(y.reshape(batch, slots, len(weights), *heads), (2, 0, 3, 1, 4))
        results = jnp.split(y, len(weights), axis=-1)
    if adapted:
        results = [
            add_low_rank(y, x, params.low, dtype, constrain, "heads")
            for y, params in zip(results, weights, strict=True)
        ]
    return [y.reshape(batch, slots, *heads).swapaxes(1, 2) for y in results]


def _dense(
    x: Array,
    kernel: Float[Array, "width features"],
    bias: Float[Array, "features"] | None,
    dtype: str,
    product: Product,
    constrain: Constrain,
) -> Array:
    params = {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}
    return apply_params(partial(dense, product=product), x, params, dtype, constrain, "heads")


class DenseFromHeads(nn.Module):
    """Output projection of an attention: (heads, head width) to width.

    Attributes:
      width: of the result.
      dtype: of the computation.
      kernel_init: how the kernel starts; the bias starts with zeros.
      use_bias: whether there is one.
      product: multiplies inputs with the kernel.
      constrain: where a mesh may pin the result.
      adapters: beside the kernel.
    """

    width: int
    dtype: str
    kernel_init: nn.initializers.Initializer
    use_bias: bool = True
    product: Product = flat_product
    constrain: Constrain = unconstrained
    adapters: Adapters = NO_ADAPTERS

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch slots heads head_width"], deterministic: bool = True
    ) -> Float[Array, "batch slots width"]:
        """The projection; `deterministic` has no dropout of an adapter's input."""
        params = {"kernel": self.param("kernel", self.kernel_init, (*x.shape[2:], self.width))}
        if self.use_bias:
            params["bias"] = self.param("bias", nn.initializers.zeros, (self.width,))
        y = apply_params(partial(_from_heads, self.product), x, params, self.dtype, self.constrain, "joined")
        low = low_rank(self.adapters, x.shape[2:], (self.width,), deterministic)
        return add_low_rank(y, x, low, self.dtype, self.constrain, "joined")


def _from_heads(
    product: Product, x: Float[Array, "batch slots heads head_width"], params: Params
) -> Float[Array, "batch slots width"]:
    inner = x.shape[2] * x.shape[3]
    joined = {**params, "kernel": params["kernel"].reshape(inner, -1)}
    return dense(x.reshape(*x.shape[:2], inner), joined, product)
