"""Dense layers that start as PyTorch's do."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array


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
    return nn.Dense(features, dtype=dtype, kernel_init=kernel, bias_init=uniform, name=name)
