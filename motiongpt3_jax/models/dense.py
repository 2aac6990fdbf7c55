"""Products with kernels, which a mesh may split, and dense layers that start as PyTorch's do.

Products have several forms: as XLA's CPU backend takes them fastest, and with a shorter backward pass.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from motiongpt3_jax.models.constrain import Constrain, unconstrained
from motiongpt3_jax.models.dropout import dropout
from motiongpt3_jax.models.lora import NO_ADAPTERS, Adapters, LowRank, low_rank

Params = Mapping[str, Array]
Apply = Callable[[Array, Params], Array]
"""(input, parameters) -> output, linear in the parameters."""

Product = Callable[[Array, Array], Array]
"""(input, kernel) -> `input @ kernel`, by whichever way."""

TARGET: ContextVar[str | None] = ContextVar("TARGET", default=None)
"""The platform that programs are traced for; None for that of this process's devices."""

FEW = 128
"""Rows below which a product is bound by reading its kernel."""


@contextmanager
def traced_for(platform: str) -> Iterator[None]:
    """Within, programs are traced for devices of a platform ("cpu", "gpu", "tpu") that need not be here."""
    token = TARGET.set(platform)
    try:
        yield
    finally:
        TARGET.reset(token)


def for_cpu() -> bool:
    """Whether what is traced now runs on CPUs."""
    return (TARGET.get() or jax.default_backend()) == "cpu"


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


TRAILING = 32
"""Slots of each row in a step of the backward pass of `trailing_product`."""


@jax.custom_vjp
def trailing_product(x: Float[Array, "rows slots inputs"], kernel: Float[Array, "inputs features"]) -> Array:
    """`flat_product` whose backward pass begins with the first slot that has a gradient in any row."""
    return flat_product(x, kernel)


def _trailing_forward(x: Any, kernel: Any) -> tuple[Array, tuple[Array | None, Array | None]]:
    # Each is kept for the other's gradient.
    kept = x.value if kernel.perturbed else None, kernel.value if x.perturbed else None
    return flat_product(x.value, kernel.value), kept


def _trailing_backward(
    kept: tuple[Array | None, Array | None], gradient: Float[Array, "rows slots features"]
) -> tuple[Array | None, Array | None]:
    x, kernel = kept
    to_x = None if kernel is None else _trailing_to_inputs(gradient, kernel)
    to_kernel = None if x is None else x.reshape(-1, x.shape[-1]).T @ gradient.reshape(-1, gradient.shape[-1])
    return to_x, to_kernel


def _trailing_to_inputs(
    gradient: Float[Array, "rows slots features"], kernel: Float[Array, "inputs features"]
) -> Float[Array, "rows slots inputs"]:
    rows, slots, _ = gradient.shape
    size = min(TRAILING, slots)
    there = jnp.any(gradient != 0, axis=2)
    count = jnp.max(jnp.where(there, slots - jnp.arange(slots), 0))

    def write(index: Array, back: Array) -> Array:
        start = jnp.maximum(slots - (index + 1) * size, 0)
        part = jax.lax.dynamic_slice_in_dim(gradient, start, size, axis=1)
        return jax.lax.dynamic_update_slice_in_dim(back, flat_product(part, kernel.T), start, axis=1)

    nothing = jnp.zeros((rows, slots, kernel.shape[0]), gradient.dtype)
    return jax.lax.fori_loop(0, (count + size - 1) // size, write, nothing)


trailing_product.defvjp(_trailing_forward, _trailing_backward, symbolic_zeros=True)


def linear(
    features: int,
    inputs: int,
    dtype: str,
    name: str | None = None,
    xavier: bool = False,
    constrain: Constrain = unconstrained,
    product: Product = flat_product,
) -> "Dense":
    """A dense layer uniform in +-1/sqrt(inputs), bias included, as PyTorch's Linear starts.

    Args:
      features: width of the result.
      inputs: width of what comes in.
      dtype: of the computation.
      name: of the parameters, where a compact method makes it.
      xavier: start the kernel, not the bias, with Xavier's uniform instead.
      constrain: where a mesh may pin the result.
      product: multiplies inputs with the kernel.
    """

    def uniform(key: Array, shape: tuple[int, ...], kind: jnp.dtype = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, kind, -(inputs**-0.5), inputs**-0.5)

    kernel = nn.initializers.xavier_uniform() if xavier else uniform
    return Dense(features, dtype, kernel, bias_init=uniform, product=product, constrain=constrain, name=name)


class Dense(nn.Module):
    """A dense layer whose weights move between devices and whose rows stay.

    Attributes:
      features: width of the result.
      dtype: of the computation; parameters are float32.
      kernel_init, bias_init: how the parameters start.
      use_bias: whether there is a bias.
      product: multiplies inputs with the kernel.
      constrain: where a mesh may pin the result.
      pin: its name for that.
      adapters: beside the kernel.
    """

    features: int
    dtype: str
    kernel_init: nn.initializers.Initializer
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    use_bias: bool = True
    product: Product = flat_product
    constrain: Constrain = unconstrained
    pin: str = "activation"
    adapters: Adapters = NO_ADAPTERS

    @nn.compact
    def __call__(self, x: Float[Array, "*rows inputs"], deterministic: bool = True) -> Float[Array, "*rows features"]:
        """The projection; `deterministic` has no dropout of an adapter's input."""
        params = {"kernel": self.param("kernel", self.kernel_init, (x.shape[-1], self.features))}
        if self.use_bias:
            params["bias"] = self.param("bias", self.bias_init, (self.features,))
        y = apply_params(partial(dense, product=self.product), x, params, self.dtype, self.constrain, self.pin)
        low = low_rank(self.adapters, (x.shape[-1],), (self.features,), deterministic)
        return add_low_rank(y, x, low, self.dtype, self.constrain, self.pin)


def add_low_rank(
    y: Float[Array, "*rows outputs"],
    x: Float[Array, "*rows inputs"] | Float[Array, "*rows heads head_width"],
    low: LowRank | None,
    dtype: str,
    constrain: Constrain = unconstrained,
    pin: str = "activation",
) -> Float[Array, "*rows outputs"]:
    """Adds what an adapter makes of a projection's input to the projection's result.

    Args:
      y: the result, its features one axis.
      x: the input.
      low: the adapter; None adds nothing.
      dtype: of the computation.
      constrain: where a mesh may pin what is computed.
      pin: the name of the result for that.
    """
    if low is None:
        return y
    rank, axes = low.b.shape[0], low.a.ndim - 1
    x = dropout(x.astype(dtype), low.seed, low.dropout)
    x = x.reshape(*x.shape[: x.ndim - axes], -1)
    # Where a mesh splits the inputs it splits A alike; where it splits the results, B.
    inner, outer = ("joined", "low_rank") if pin == "joined" else ("low_rank", pin)
    inside = apply_params(dense, x, {"kernel": low.a.reshape(-1, rank)}, dtype, constrain, inner)
    return y + apply_params(dense, low.scale * inside, {"kernel": low.b.reshape(rank, -1)}, dtype, constrain, outer)


def dense(
    x: Float[Array, "*rows inputs"], params: Params, product: Product = flat_product
) -> Float[Array, "*rows features"]:
    """`x @ kernel + bias`."""
    y = product(x, params["kernel"])
    return y + params["bias"] if "bias" in params else y


def apply_params(
    apply: Apply, x: Array, params: Params, dtype: str, constrain: Constrain = unconstrained, pin: str = "activation"
) -> Array:
    """Applies parameters to rows so that on a mesh the rows stay where they are, in both passes.

    The backward pass keeps the parameters as they are stored, split, and gathers them again; gradients of the
    parameters are summed over devices in the dtype that the mesh asks for.

    Args:
      apply: linear in the parameters.
      x: the rows.
      params: float32, or another dtype that they are stored in.
      dtype: of the computation.
      constrain: where a mesh may pin the result.
      pin: its name for that.
    """
    if constrain is unconstrained:
        return apply(x.astype(dtype), _cast(params, dtype))
    return _apply_pinned(apply, dtype, constrain, pin, x.astype(dtype), params)


def _cast(params: Params, dtype: str) -> Params:
    return {name: value.astype(dtype) for name, value in params.items()}


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _apply_pinned(apply: Apply, dtype: str, constrain: Constrain, pin: str, x: Array, params: Params) -> Array:
    return constrain(pin, apply(x, _whole(_cast(params, dtype), constrain, pin)))


def _whole(params: Params, constrain: Constrain, pin: str) -> Params:
    return {name: constrain(f"{pin}/{name}", value) for name, value in params.items()}


def _forward(apply: Apply, dtype: str, constrain: Constrain, pin: str, x: Array, params: Params) -> tuple[Array, Any]:
    cast, stored = _cast(params, dtype), {name: jnp.zeros((0,), value.dtype) for name, value in params.items()}
    return constrain(pin, apply(x, _whole(cast, constrain, pin))), (x, cast, stored)


def _backward(
    apply: Apply, dtype: str, constrain: Constrain, pin: str, kept: Any, gradient: Array
) -> tuple[Array, Any]:
    x, params, stored = kept
    gradient, whole = constrain(pin, gradient), _whole(params, constrain, pin)
    (to_x,) = jax.vjp(lambda x: apply(x, whole), x)[1](gradient)
    summed = constrain("summed", gradient)
    # The gradient of what is linear is the same at all parameters; these have its dtype.
    zeros = {name: jnp.zeros(value.shape, summed.dtype) for name, value in params.items()}
    (to_params,) = jax.vjp(partial(apply, constrain("summed", x)), zeros)[1](summed)
    to_params = {name: constrain(f"{pin}/{name}/gradient", value) for name, value in to_params.items()}
    return to_x, {name: value.astype(stored[name].dtype) for name, value in to_params.items()}


_apply_pinned.defvjp(_forward, _backward)


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
    if not for_cpu():
        return params

    def transposed(path: tuple[Any, ...], leaf: Any) -> Any:
        names = [getattr(key, "key", None) for key in path]
        if names[-1] != "kernel":
            return leaf
        # Heads are inputs of the output projection, and features of the others.
        inputs = leaf.shape[:-1] if names[-2:-1] == ["o"] else leaf.shape[:1]
        return TransposedKernel(leaf.reshape(math.prod(inputs), -1).T, leaf.shape)

    return jax.tree_util.tree_map_with_path(transposed, params)


def unstack(stacked: Any) -> list[Any]:
    """Parameters of layers one by one instead of a stack, see also `transpose_kernels`; lists stay as they are.

    Every use of a stack would copy its layer. This copies all of them: do it once, before a loop or when a model is
    loaded.
    """
    if isinstance(stacked, list):
        return stacked
    layers = len(jax.tree.leaves(stacked)[0])
    return [transpose_kernels(jax.tree.map(lambda x, n=n: x[n], stacked)) for n in range(layers)]


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
