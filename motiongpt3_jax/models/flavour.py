"""What families of Transformer blocks differ in: norm, MLP, biases, positions, attention scores and how they start."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.remat import recomputed_in_scan

NORMS: dict[str, type[nn.Module]] = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}
"""Norms by their names."""

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"gelu_tanh": partial(nn.gelu, approximate=True), "silu": nn.silu}
"""Activations of the MLP by their names."""

POSITIONS = ("learned", "rotary", "relative")
"""Learned: a table that is added to what enters the first layer. Rotary: queries and keys are rotated (2104.09864).
Relative: a bias of each head on the attention scores, by the distance of query and key (1910.10683)."""

INITS = ("normal", "fan_in")
"""Normal: kernels start with one standard deviation, as GPT-2's. Fan-in: each by the width of its input, as T5's."""

ROTARY_BASE = 10_000.0
"""Longest period of rotary positions, in turns of 2 pi."""


@dataclass(frozen=True)
class BlockFlavour:
    """Block variant of a decoder; the defaults are GPT-2's.

    Attributes:
      norm: one of `NORMS`.
      activation: of the MLP, one of `ACTIVATIONS`.
      gated: whether the MLP multiplies `up` with the activated `gate`, instead of activating `up`.
      biases: whether projections, MLP and layer norms have biases.
      positions: one of `POSITIONS`.
      kv_heads: heads of keys and values, which groups of query heads share; None for as many as there are queries.
      scaled: whether attention scores are divided by the root of the head width.
      inner_dropout: whether the MLP's hidden layer and what leaves the final norm have dropout too.
      init: how kernels start, one of `INITS`.
      buckets: of distances, where positions are relative.
      max_distance: from which on all are one bucket.
    """

    norm: str = "layer"
    activation: str = "gelu_tanh"
    gated: bool = False
    biases: bool = True
    positions: str = "learned"
    kv_heads: int | None = None
    scaled: bool = True
    inner_dropout: bool = False
    init: str = "normal"
    buckets: int = 32
    max_distance: int = 128

    def __post_init__(self) -> None:
        choices = (("norm", NORMS), ("activation", ACTIVATIONS), ("positions", POSITIONS), ("init", INITS))
        for name, known in choices:
            if getattr(self, name) not in known:
                raise UserError(f"{name} of a decoder block is {getattr(self, name)!r}: choose {' or '.join(known)}")

    def make_norm(self, eps: float, name: str | None = None, again: bool = False) -> nn.Module:
        """The norm, computed in float32; `again` in the backward pass of a scan, which then keeps none of float32."""
        bias = {"use_bias": self.biases} if self.norm == "layer" else {}
        return recomputed_in_scan(NORMS[self.norm], again)(epsilon=eps, dtype=jnp.float32, name=name, **bias)


GPT2 = BlockFlavour()
"""Pre-norm blocks of GPT-2."""

T5 = BlockFlavour(
    "rms", gated=True, biases=False, positions="relative", scaled=False, inner_dropout=True, init="fan_in"
)
"""Pre-norm blocks of T5 v1.1."""


def rotate(
    x: Float[Array, "batch heads slots head_width"], positions: Int[Array, "batch slots"]
) -> Float[Array, "batch heads slots head_width"]:
    """Rotary position embedding (RoPE, arXiv 2104.09864): rotates pairs of channels, half a head apart, by position."""
    half = x.shape[-1] // 2
    angles = positions[:, None, :, None] * ROTARY_BASE ** (-jnp.arange(half) / half)
    sine, cosine = jnp.sin(angles).astype(x.dtype), jnp.cos(angles).astype(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def repeat_heads(x: Float[Array, "batch kv_heads slots head_width"], heads: int) -> Float[Array, "batch heads ..."]:
    """Keys or values for every query head: each is shared by a group of neighbouring ones."""
    return x if x.shape[1] == heads else jnp.repeat(x, heads // x.shape[1], axis=1)
