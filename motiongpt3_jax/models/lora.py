"""LoRA: low-rank adapters beside the kernels of projections, several by name, of which a forward pass uses one or none.

A projection x W becomes x W + (alpha / rank) dropout(x) A B (arXiv 2106.09685). A starts as PyTorch's Linear does and B
with zeros, so that a fresh adapter changes nothing. The factors lie beside the kernel that they adapt, as
`.../q/lora/NAME/{a,b}`, stacked over layers as it is; paths of the kernels stay what they are.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float, UInt32

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.dropout import Dropout

LORA = "lora"
"""The name under which a projection's parameters hold its adapters."""

ADAPTER = re.compile(rf"(?P<projection>.*)/{LORA}/(?P<name>[^/]+)/(?P<factor>[ab])")
"""The path of a factor: of which projection, and of which adapter."""

Tree = Any
Paths = Mapping[str, Array]
"""Arrays by their paths, joined by `/`."""


@dataclass(frozen=True)
class Adapter:
    """One adapter.

    Attributes:
      name: by which it is chosen; part of its parameters' paths.
      rank: of the product that it adds to a kernel.
      alpha: `alpha / rank` is the factor of that product.
      dropout: chance of each value of its input to be zero in training.
      targets: patterns of the projections that it adapts, each matched with the whole of `STREAM/PROJECTION`:
        "text/(q|v)", "target/cross/.*", ".*/(up|down)".
    """

    name: str
    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]

    @property
    def scale(self) -> float:
        """Factor of the product."""
        return self.alpha / self.rank

    def adapts(self, projection: str) -> bool:
        """Whether it adapts a projection."""
        return any(re.fullmatch(pattern, projection) for pattern in self.targets)


@dataclass(frozen=True)
class Adapters:
    """The adapters of a model, or those of one projection.

    Attributes:
      each: all that have parameters.
      used: name of the one that a forward pass adds; None for none.
    """

    each: tuple[Adapter, ...] = ()
    used: str | None = None

    def of(self, projection: str) -> "Adapters":
        """Those of one projection."""
        return replace(self, each=tuple(adapter for adapter in self.each if adapter.adapts(projection)))

    def using(self, name: str | None) -> "Adapters":
        """The same, with another one in use.

        Raises:
          UserError: there is none of that name.
        """
        if name is not None:
            self.named(name)
        return replace(self, used=name)

    def named(self, name: str) -> Adapter:
        """The adapter of a name.

        Raises:
          UserError: there is none.
        """
        for adapter in self.each:
            if adapter.name == name:
                return adapter
        there = ", ".join(adapter.name for adapter in self.each) or "none"
        raise UserError(f"there is no adapter {name!r}; the model has: {there}")


NO_ADAPTERS = Adapters()
"""Kernels alone."""


class LowRank(NamedTuple):
    """What an adapter adds to a projection.

    Attributes:
      a, b: its factors.
      scale: factor of their product.
      dropout: chance of a zero in the input.
      seed: of the dropout mask; None for no dropout.
    """

    a: Float[Array, "*inputs rank"]
    b: Float[Array, "rank *outputs"]
    scale: float
    dropout: float
    seed: UInt32[Array, "2"] | None


class Factors(nn.Module):
    """Parameters of one adapter of one projection.

    Attributes:
      rank: of the adapter.
      inputs, outputs: axes of the projection's kernel.
    """

    rank: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @nn.compact
    def __call__(self) -> tuple[Array, Array]:
        """(A, B)."""
        a = self.param("a", _uniform, (*self.inputs, self.rank))
        return a, self.param("b", nn.initializers.zeros, (self.rank, *self.outputs))


def _uniform(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Uniform in +-1/sqrt(inputs)."""
    bound = math.prod(shape[:-1]) ** -0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


class Lora(nn.Module):
    """The adapters of one projection; in a projection's module its name is `LORA`.

    Attributes:
      adapters: those of the projection.
    """

    adapters: Adapters

    @nn.compact
    def __call__(self, inputs: tuple[int, ...], outputs: tuple[int, ...], deterministic: bool) -> LowRank | None:
        """What the adapter in use adds; None for nothing.

        Args:
          inputs, outputs: axes of the projection's kernel.
          deterministic: no dropout.
        """
        low = None
        for adapter in self.adapters.each:
            used = adapter.name == self.adapters.used
            if used or self.is_initializing():
                factors = Factors(adapter.rank, inputs, outputs, name=adapter.name)()
            if used:
                seed = Dropout(adapter.dropout).seed(deterministic)
                low = LowRank(*factors, adapter.scale, adapter.dropout, seed)
        return low


def low_rank(
    adapters: Adapters, inputs: tuple[int, ...], outputs: tuple[int, ...], deterministic: bool
) -> LowRank | None:
    """What the adapter in use adds to the projection in whose module this is called, see `Lora`."""
    return Lora(adapters, name=LORA)(inputs, outputs, deterministic) if adapters.each else None


def merge_adapter(params: Tree, adapters: Adapters, name: str) -> tuple[Tree, Paths]:
    """Adds an adapter to the kernels that it adapts: (parameters, the kernels as they were).

    The sum is that of float32, rounded once. With the kernels as they were `unmerge_adapter` gives the base back bit
    for bit, which a subtraction would not.

    Args:
      params: any nested parameters that hold the adapter, layers stacked.
      adapters: the adapters of the model.
      name: which.

    Raises:
      UserError: there is none of that name.
    """
    adapter, flat = adapters.named(name), flatten_dict(params, sep="/")
    kept, merged = {}, dict(flat)
    for projection in projections_of(flat, name):
        path = f"{projection}/kernel"
        a, b = (flat[f"{projection}/{LORA}/{name}/{factor}"] for factor in "ab")
        kept[path] = flat[path]
        merged[path] = merged_kernel(flat[path], a, b, adapter.scale)
    return unflatten_dict(merged, sep="/"), kept


def unmerge_adapter(params: Tree, kept: Paths) -> Tree:
    """Parameters with their kernels as they were before `merge_adapter`."""
    return unflatten_dict({**flatten_dict(params, sep="/"), **kept}, sep="/")


def without_adapters(params: Tree) -> Tree:
    """Parameters without any adapter."""
    flat = flatten_dict(params, sep="/")
    return unflatten_dict({path: x for path, x in flat.items() if not ADAPTER.fullmatch(path)}, sep="/")


def projections_of(paths: Iterable[str], name: str) -> list[str]:
    """Paths of the projections that an adapter adapts, among the paths of parameters."""
    matches = (ADAPTER.fullmatch(path) for path in paths)
    return [match["projection"] for match in matches if match and match["name"] == name and match["factor"] == "a"]


@jax.jit
def merged_kernel(kernel: Array, a: Array, b: Array, scale: float) -> Array:
    """`kernel + scale A B`, of stacked layers, in float32 and rounded to the kernel's dtype.

    Args:
      kernel: (layers, *inputs, *outputs).
      a: (layers, *inputs, rank).
      b: (layers, rank, *outputs).
      scale: of the product.
    """
    layers, rank = a.shape[0], a.shape[-1]
    # Products of what is rounded to bfloat16, as matrix units take them by default, would be felt.
    product = jnp.einsum(
        "lir,lro->lio", a.reshape(layers, -1, rank), b.reshape(layers, rank, -1), precision=jax.lax.Precision.HIGHEST
    )
    return (kernel.astype(jnp.float32) + scale * product.reshape(kernel.shape)).astype(kernel.dtype)
