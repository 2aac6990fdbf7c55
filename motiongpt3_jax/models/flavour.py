"""What families of Transformer blocks differ in: norm, MLP, biases, positions, attention scores and how they start."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.remat import recomputed_in_scan


class ZeroCentredRMSNorm(nn.Module):
    """RMS norm whose parameter is the distance of the scale from 1, as Gemma stores it.

    Attributes:
      epsilon: smallest divisor.
      dtype: of the computation and of the result.
    """

    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
        scale, x = self.param("scale", nn.initializers.zeros, x.shape[-1:]), x.astype(self.dtype)
        # What is held in bfloat16 would lose its last bits to the 1.
        return x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + self.epsilon) * (1 + scale.astype(x.dtype))


NORMS: dict[str, type[nn.Module]] = {
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,
    "zero_centred_rms": ZeroCentredRMSNorm,
}
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
      factor: by which all frequencies are divided: linear position interpolation (arXiv 2306.15595).
    """

    theta: float = 10_000.0
    scaling: RotaryScaling | None = None
    factor: float = 1.0

    def frequencies(self, head_width: int) -> Float[np.ndarray, "half"]:
        """Radians that each pair of channels turns by from one position to the next."""
        half = head_width // 2
        rates = self.theta ** (-np.arange(half) / half) / self.factor
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
      qkv_biases: whether queries, keys and values have biases, whatever others have.
      qk_norms: whether each head's queries and keys are normalised (QK-norm, arXiv 2010.04245), before they rotate.
      post_norms: whether what attention and MLP give is normalised too, before it is added (sandwich norm).
      positions: one of `POSITIONS`.
      kv_heads: heads of keys and values, which groups of query heads share; None for as many as there are queries.
      rotary: the frequencies, where positions are rotary.
      local_rotary: those of layers with a sliding window; None for the same.
      scaled: whether attention scores are divided by the root of the head width.
      query_pre_attn_scalar: by whose root they are divided instead of the head width's; None for that.
      attention_cap: soft cap of the scores, cap * tanh(score / cap); None for none.
      scale_embeddings: whether vectors of ids are multiplied by the root of their width where they are read; the
        caller's `Vocabulary` does it.
      inner_dropout: whether the MLP's hidden layer and what leaves the final norm have dropout too.
      init: how kernels start, one of `INITS`.
      buckets: of distances, where positions are relative.
      max_distance: from which on all are one bucket.
    """

    norm: str = "layer"
    activation: str = "gelu_tanh"
    gated: bool = False
    biases: bool = True
    qkv_biases: bool = False
    qk_norms: bool = False
    post_norms: bool = False
    positions: str = "learned"
    kv_heads: int | None = None
    rotary: Rotary = Rotary()
    local_rotary: Rotary | None = None
    scaled: bool = True
    query_pre_attn_scalar: float | None = None
    attention_cap: float | None = None
    scale_embeddings: bool = False
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

QWEN2 = replace(LLAMA, qkv_biases=True)
"""Blocks of Qwen 2 and 2.5 (arXiv 2412.15115)."""

QWEN3 = replace(LLAMA, qk_norms=True)
"""Blocks of Qwen 3 (arXiv 2505.09388)."""

GEMMA2 = replace(LLAMA, norm="zero_centred_rms", activation="gelu_tanh", post_norms=True, scale_embeddings=True)
"""Blocks of Gemma 2 (arXiv 2408.00118); soft caps, the scale of queries and windows are values of each model."""

GEMMA3 = replace(GEMMA2, qk_norms=True)
"""Blocks of Gemma 3 (arXiv 2503.19786)."""

FAMILIES: Mapping[str, BlockFlavour] = {
    "gpt2": GPT2,
    "llama": LLAMA,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
    "gemma2": GEMMA2,
    "gemma3": GEMMA3,
}
"""Blocks of decoder language models by the names of their families."""


def rotate(
    x: Float[Array, "batch heads slots head_width"],
    positions: Int[Array, "batch slots"],
    frequencies: Float[Array | np.ndarray, "half"],
) -> Float[Array, "batch heads slots head_width"]:
    """Rotary position embedding (RoPE, arXiv 2104.09864): rotates pairs of channels, half a head apart, by position."""
    half = x.shape[-1] // 2
    angles = positions[:, None, :, None] * frequencies
    sine, cosine = jnp.sin(angles).astype(x.dtype), jnp.cos(angles).astype(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def repeat_heads(x: Float[Array, "batch kv_heads slots head_width"], heads: int) -> Float[Array, "batch heads ..."]:
    """Keys or values for every query head: each is shared by a group of neighbouring ones."""
    return x if x.shape[1] == heads else jnp.repeat(x, heads // x.shape[1], axis=1)
