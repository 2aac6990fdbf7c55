"""What families of Transformer blocks differ in: norm, MLP, biases, positions, attention scores and how they start."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
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


@dataclass(frozen=True)
class RotaryScaling:
    """Llama 3.1's frequency scaling of rotary positions (arXiv 2407.21783): slow rotations become slower still.

    Attributes:
      factor: by which the slowest are divided.
      low, high: turns over the original sequence up to which a frequency counts as slow, and from which on it stays;
        linear between them.
      original: positions of the longest sequence before.
    """

    factor: float
    low: float
    high: float
    original: int


@dataclass(frozen=True)
class Rotary:
    """Frequencies of rotary position embedding (RoPE).

    Attributes:
      theta: the base; the slowest pair of channels turns once in about 2 pi times as many positions.
      scaling: of frequencies, for sequences longer than those that the theta is for; None leaves them.
    """

    theta: float = 10_000.0
    scaling: RotaryScaling | None = None

    def frequencies(self, head_width: int) -> Float[np.ndarray, "half"]:
        """Radians that each pair of channels turns by from one position to the next."""
        half = head_width // 2
        rates = self.theta ** (-np.arange(half) / half)
        if self.scaling is None:
            return rates.astype(np.float32)
        turns, low, high = rates * self.scaling.original / (2 * np.pi), self.scaling.low, self.scaling.high
        kept = np.clip((turns - low) / (high - low), 0, 1)
        return (rates * (kept + (1 - kept) / self.scaling.factor)).astype(np.float32)


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
      rotary: the frequencies, where positions are rotary.
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
    rotary: Rotary = Rotary()
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

    def make_norm(self, eps: float, name: str | None = None, recompute: bool = False) -> nn.Module:
        """The norm, in float32; recomputed in the backward pass of a scan, which then keeps none of float32."""
        bias = {"use_bias": self.biases} if self.norm == "layer" else {}
        return recomputed_in_scan(NORMS[self.norm], recompute)(epsilon=eps, dtype=jnp.float32, name=name, **bias)


GPT2 = BlockFlavour()
"""Pre-norm blocks of GPT-2."""

T5 = BlockFlavour(
    "rms", gated=True, biases=False, positions="relative", scaled=False, inner_dropout=True, init="fan_in"
)
"""Pre-norm blocks of T5 v1.1."""

LLAMA = BlockFlavour("rms", "silu", gated=True, biases=False, positions="rotary")
"""Pre-norm blocks of Llama; heads of keys and values, and frequencies, are values of each model."""


def rotate(
    x: Float[Array, "batch heads slots head_width"], positions: Int[Array, "batch slots"], rotary: Rotary = Rotary()
) -> Float[Array, "batch heads slots head_width"]:
    """Rotary position embedding (RoPE, arXiv 2104.09864): rotates pairs of channels, half a head apart, by position."""
    half = x.shape[-1] // 2
    angles = positions[:, None, :, None] * rotary.frequencies(x.shape[-1])
    sine, cosine = jnp.sin(angles).astype(x.dtype), jnp.cos(angles).astype(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def repeat_heads(x: Float[Array, "batch kv_heads slots head_width"], heads: int) -> Float[Array, "batch heads ..."]:
    """Keys or values for every query head: each is shared by a group of neighbouring ones."""
    return x if x.shape[1] == heads else jnp.repeat(x, heads // x.shape[1], axis=1)
