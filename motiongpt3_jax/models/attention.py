"""Post-norm attention layers as PyTorch's Transformer has them; the VAE and the diffusion head are made of them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from motiongpt3_jax.models.dense import linear

EPS = 1e-5


class MultiHeadAttention(nn.Module):
    """Multi-head attention with one packed projection for queries, keys and values.

    Attributes:
      width: of inputs and outputs.
      heads: how many share it.
      dropout: of the attention weights.
      xavier: whether the output projection starts with Xavier's uniform, as the packed one does.
      dtype: of the computation; softmax is float32.
    """

    width: int
    heads: int
    dropout: float = 0.0
    xavier: bool = True
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
        init = (
            nn.initializers.xavier_uniform() if self.xavier else linear(self.width, self.width, self.dtype).kernel_init
        )
        out = nn.Dense(self.width, dtype=self.dtype, kernel_init=init, name="out")
        if keys.shape[1] == 1 and mask is None and (deterministic or not self.dropout):
            # A single key has all the weight, whatever the queries are.
            return jnp.broadcast_to(out(v), queries.shape)
        q, k, v = (x.reshape(*x.shape[:2], self.heads, -1) for x in (q, k, v))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=jnp.float32) * q.shape[-1] ** -0.5
        if mask is not None:
            scores = jnp.where(mask[:, None, None, :], scores, jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(scores, axis=-1).astype(self.dtype)
        weights = nn.Dropout(self.dropout)(weights, deterministic=deterministic)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(*queries.shape[:2], self.width)
        return out(mixed)


class PostNormLayer(nn.Module):
    """Self-attention, cross-attention to a memory if there is one, MLP; each added and then normalised.

    Attributes:
      width: of the hidden states.
      heads: of the attentions.
      mlp_width: of the hidden layer (exact GELU).
      dropout: of every branch.
      xavier: whether all kernels start with Xavier's uniform, or only the packed projection.
      dtype: of the computation.
    """

    width: int
    heads: int
    mlp_width: int
    dropout: float = 0.1
    xavier: bool = True
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
        attention = {
            "width": self.width,
            "heads": self.heads,
            "dropout": self.dropout,
            "xavier": self.xavier,
            "dtype": self.dtype,
        }

        def added(x: Array, branch: Array, name: str) -> Array:
            branch = nn.Dropout(self.dropout)(branch, deterministic=deterministic)
            return nn.LayerNorm(epsilon=EPS, dtype=jnp.float32, name=name)(x + branch).astype(self.dtype)

        attended = MultiHeadAttention(**attention, name="self_attention")(x, x, mask, deterministic)
        x = added(x, attended, "self_norm")
        if memory is not None:
            attended = MultiHeadAttention(**attention, name="cross_attention")(x, memory, None, deterministic)
            x = added(x, attended, "cross_norm")
        hidden = linear(self.mlp_width, self.width, self.dtype, "mlp_in", self.xavier)(x)
        hidden = nn.Dropout(self.dropout)(nn.gelu(hidden, approximate=False), deterministic=deterministic)
        hidden = linear(self.width, self.mlp_width, self.dtype, "mlp_out", self.xavier)(hidden)
        return added(x, hidden, "mlp_norm")
