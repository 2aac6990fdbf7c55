"""Post-norm attention layers as PyTorch's Transformer has them; the VAE and the diffusion head are made of them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

EPS = 1e-5


class MultiHeadAttention(nn.Module):
    """Multi-head attention with one packed projection for queries, keys and values.

    Attributes:
      width: of inputs and outputs.
      heads: how many share it.
      dropout: of the attention weights.
      dtype: of the computation; softmax is float32.
    """

    width: int
    heads: int
    dropout: float = 0.0
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self,
        queries: Float[Array, "batch queries width"],
        keys: Float[Array, "batch keys width"],
        mask: Bool[Array, "batch keys"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch queries width"]:
        """Attends from `queries` to `keys` where `mask` allows it."""
        xavier, zeros = nn.initializers.xavier_uniform(), nn.initializers.zeros
        kernel = self.param("in_kernel", xavier, (self.width, 3 * self.width)).astype(self.dtype)
        bias = self.param("in_bias", zeros, (3 * self.width,)).astype(self.dtype)
        if queries is keys:
            q, k, v = jnp.split(queries @ kernel + bias, 3, axis=-1)
        else:
            q = queries @ kernel[:, : self.width] + bias[: self.width]
            k, v = jnp.split(keys @ kernel[:, self.width :] + bias[self.width :], 2, axis=-1)
        q, k, v = (x.reshape(*x.shape[:2], self.heads, -1) for x in (q, k, v))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
        scores = scores.astype(jnp.float32)
        if mask is not None:
            scores = jnp.where(mask[:, None, None, :], scores, jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(scores, axis=-1).astype(self.dtype)
        weights = nn.Dropout(self.dropout)(weights, deterministic=deterministic)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(*queries.shape[:2], self.width)
        return nn.Dense(self.width, dtype=self.dtype, kernel_init=xavier, name="out")(mixed)


class PostNormLayer(nn.Module):
    """Self-attention, cross-attention to a memory if there is one, MLP; each added and then normalised.

    Attributes:
      width: of the hidden states.
      heads: of the attentions.
      mlp_width: of the hidden layer (exact GELU).
      dropout: of every branch.
      dtype: of the computation.
    """

    width: int
    heads: int
    mlp_width: int
    dropout: float = 0.1
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch slots width"],
        mask: Bool[Array, "batch slots"] | None = None,
        memory: Float[Array, "batch keys width"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch slots width"]:
        """Hidden states after the layer; slots outside `mask` are no keys."""
        attention = {"width": self.width, "heads": self.heads, "dropout": self.dropout, "dtype": self.dtype}
        xavier = nn.initializers.xavier_uniform()

        def added(x: Array, branch: Array, name: str) -> Array:
            branch = nn.Dropout(self.dropout)(branch, deterministic=deterministic)
            return nn.LayerNorm(epsilon=EPS, dtype=jnp.float32, name=name)(x + branch).astype(self.dtype)

        attended = MultiHeadAttention(**attention, name="self_attention")(x, x, mask, deterministic)
        x = added(x, attended, "self_norm")
        if memory is not None:
            attended = MultiHeadAttention(**attention, name="cross_attention")(x, memory, None, deterministic)
            x = added(x, attended, "cross_norm")
        hidden = nn.Dense(self.mlp_width, dtype=self.dtype, kernel_init=xavier, name="mlp_in")(x)
        hidden = nn.Dropout(self.dropout)(nn.gelu(hidden, approximate=False), deterministic=deterministic)
        hidden = nn.Dense(self.width, dtype=self.dtype, kernel_init=xavier, name="mlp_out")(hidden)
        return added(x, hidden, "mlp_norm")
