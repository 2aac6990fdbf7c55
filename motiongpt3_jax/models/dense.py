"""Dense layers that start as PyTorch's do, and their products as XLA's CPU backend takes them fastest."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

FEW = 128
"""Rows below which a product is bound by reading its kernel."""


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
        features,
        dtype=dtype,
        kernel_init=kernel,
        bias_init=uniform,
        dot_general=dense_dot_general(flat_product),
        name=name,
    )


def flat_product(x: Float[Array, "*rows inputs"], kernel: Float[Array, "inputs features"]) -> Array:
    """`x @ kernel` with all leading axes as one.

    The gradient of a kernel sums over rows and slots; as two axes they make XLA's CPU backend copy the whole input,
    transposed, first.
    """
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def kernel_first_product(x: Float[Array, "*rows inputs"], kernel: Float[Array, "inputs features"]) -> Array:
    """`flat_product` where kernels lie transposed, see `transpose_kernels`; with few rows it is faster."""
    rows = x.reshape(-1, x.shape[-1])
    if not 1 < len(rows) < FEW:
        return flat_product(x, kernel)
    # Without the barrier XLA puts the rows first again.
    product = jax.lax.optimization_barrier(kernel.T @ rows.T).T
    return product.reshape(*x.shape[:-1], kernel.shape[-1])


LEADING = 32
"""Slots of each row in a step of the backward pass of `leading_product`."""


@jax.custom_vjp
def leading_product(x: Float[Array, "rows slots inputs"], kernel: Float[Array, "inputs features"]) -> Array:
    """`flat_product` whose backward pass ends behind the last slot that has a gradient in any row."""
    return flat_product(x, kernel)


def _leading_forward(x: Any, kernel: Any) -> tuple[Array, tuple[Array | None, Array]]:
    # A frozen kernel needs no inputs for its gradient.
    return flat_product(x.value, kernel.value), (x.value if kernel.perturbed else None, kernel.value)


def _leading_backward(
    kept: tuple[Array | None, Array], gradient: Float[Array, "rows slots features"]
) -> tuple[Array, Array | None]:
    x, kernel = kept
    rows, slots, _ = gradient.shape
    size = min(LEADING, slots)
    there = jnp.any(gradient != 0, axis=(0, 2))
    count = jnp.max(jnp.where(there, jnp.arange(1, slots + 1), 0))

    def write(index: Array, back: Array) -> Array:
        start = index * size  # near the end both slices begin earlier
        part = jax.lax.dynamic_slice_in_dim(gradient, start, size, axis=1)
        return jax.lax.dynamic_update_slice_in_dim(back, flat_product(part, kernel.T), start, axis=1)

    nothing = jnp.zeros((rows, slots, kernel.shape[0]), gradient.dtype)
    back = jax.lax.fori_loop(0, (count + size - 1) // size, write, nothing)
    if x is None:
        return back, None
    return back, x.reshape(-1, x.shape[-1]).T @ gradient.reshape(-1, gradient.shape[-1])


leading_product.defvjp(_leading_forward, _leading_backward, symbolic_zeros=True)


def dense_dot_general(product: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    """A product of inputs and a kernel as Flax's dense layers take it: their `dot_general`."""
    return partial(_dot_general, product)


def _dot_general(
    product: Callable[[Array, Array], Array], lhs: Array, rhs: Array, dimension_numbers: Any, **options: Any
) -> Array:
    expected = (((lhs.ndim - 1,), (0,)), ((), ()))
    assert dimension_numbers == expected, f"a dense layer contracts {expected}, not {dimension_numbers}"
    assert not any(options.values()), f"a dense layer multiplies without {options}"
    return product(lhs, rhs)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TransposedKernel:
    """A dense layer's kernel as (features, inputs), the order in which a product with few rows reads it.

    Attributes:
      array: of the kernel as a matrix, transposed.
      shape: of the kernel.
    """

    array: Float[Array, "features inputs"]
    shape: tuple[int, ...] = field(metadata={"static": True})


def transpose_kernels(params: Any) -> Any:
    """Parameters with kernels transposed on CPUs, whose compiler leaves a program's arguments as they lie.

    The decode steps of 32 sentences (`bench generate --config motiongpt:base`) take a quarter less time. See
    `plain_kernels` for the way back.
    """
    if jax.default_backend() != "cpu":
        return params

    def transposed(path: tuple[Any, ...], leaf: Any) -> Any:
        names = [getattr(key, "key", None) for key in path]
        if names[-1] != "kernel":
            return leaf
        # Heads are inputs of the output projection, and features of the others.
        inputs = leaf.shape[:-1] if names[-2:-1] == ["o"] else leaf.shape[:1]
        return TransposedKernel(leaf.reshape(math.prod(inputs), -1).T, leaf.shape)

    return jax.tree_util.tree_map_with_path(transposed, params)


def plain_kernels(params: Any) -> Any:
    """Parameters with kernels as the modules know them; within a program that costs nothing."""
    return jax.tree.map(
        lambda x: x.array.T.reshape(x.shape) if _is_transposed(x) else x, params, is_leaf=_is_transposed
    )


def kernels_transposed(params: Any) -> bool:
    """Whether `transpose_kernels` has seen the parameters."""
    return any(map(_is_transposed, jax.tree.leaves(params, is_leaf=_is_transposed)))


def _is_transposed(leaf: Any) -> bool:
    return isinstance(leaf, TransposedKernel)
