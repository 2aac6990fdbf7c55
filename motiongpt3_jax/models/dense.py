"""Dense layers that start as PyTorch's do."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def linear(features: int, inputs: int, dtype: str, name: str | None = None, xavier: bool = False) -> nn.Dense:
    """A dense layer uniform in +-1/sqrt(inputs), bias included, as PyTorch's Linear starts.

    Args:
      features: width of the result.
      inputs: width of what comes in.
      dtype: of the computation.
      name: of the parameters, where a compact method makes it.
      xavier: start the kernel, not the bias, with Xavier's uniform instead.
    """

    def uniform(key: Array, shape: tuple[int, ...], kind: jnp.dtype = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, kind, -(inputs**-0.5), inputs**-0.5)

    kernel = nn.initializers.xavier_uniform() if xavier else uniform
    return nn.Dense(
        features, dtype=dtype, kernel_init=kernel, bias_init=uniform, dot_general=flat_dot_general, name=name
    )


def flat_product(x: Float[Array, "*rows inputs"], kernel: Float[Array, "inputs features"]) -> Array:
    """`x @ kernel` with all leading axes as one.

    The gradient of a kernel sums over rows and slots; as two axes they make XLA's CPU backend copy the whole input,
    transposed, first.
    """
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def flat_dot_general(lhs: Array, rhs: Array, dimension_numbers: Any, **options: Any) -> Array:
    """`flat_product` as Flax's dense layers take it."""
    expected = (((lhs.ndim - 1,), (0,)), ((), ()))
    assert dimension_numbers == expected, f"a dense layer contracts {expected}, not {dimension_numbers}"
    product = jax.lax.dot_general(lhs.reshape(-1, lhs.shape[-1]), rhs, (((1,), (0,)), ((), ())), **options)
    return product.reshape(*lhs.shape[:-1], rhs.shape[-1])
