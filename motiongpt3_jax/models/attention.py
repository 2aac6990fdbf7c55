"""Post-norm attention layers as PyTorch's Transformer has them; the VAE and the diffusion head are made of them."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt32

from motiongpt3_jax.models.constrain import Constrain, unconstrained
from motiongpt3_jax.models.dense import Dense, Params, apply_params, dense, linear
from motiongpt3_jax.models.dropout import Dropout, dropout, keep_mask

EPS = 1e-5


class MultiHeadAttention(nn.Module):
    """Multi-head attention with one packed projection for queries, keys and values.

    Attributes:
      width: of inputs and outputs.
      heads: how many share it.
      dropout: of the attention weights.
      xavier: whether the output projection starts with Xavier's uniform, as the packed one does.
      dtype: of the computation; softmax is float32.
      constrain: where a mesh may pin activations.
    """

    width: int
    heads: int
    dropout: float = 0.0
    xavier: bool = True
    dtype: str = "float32"
    constrain: Constrain = unconstrained

    @nn.compact
    def __call__(
        self,
        queries: Float[Array, "batch queries width"],
        keys: Float[Array, "batch keys width"],
        mask: Bool[Array, "batch keys"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch queries width"]:
        """Attends from `queries` to `keys` where `mask` allows it."""
        width, zeros = self.width, nn.initializers.zeros
        kernel = self.param("in_kernel", nn.initializers.xavier_uniform(), (width, 3 * width))
        packed = {"kernel": kernel, "bias": self.param("in_bias", zeros, (3 * width,))}
        init = nn.initializers.xavier_uniform() if self.xavier else linear(width, width, self.dtype).kernel_init
        out = Dense(width, self.dtype, init, constrain=self.constrain, name="out")

        def project(x: Array, first: int, count: int) -> list[Array]:
            """So many of queries, keys and values, from the first on."""
            apply = partial(_columns, slice(first * width, (first + count) * width))
            return jnp.split(apply_params(apply, x, packed, self.dtype, self.constrain), count, axis=-1)

        seed = Dropout(self.dropout).seed(deterministic)
        if keys.shape[1] == 1 and mask is None:
            # A single key has all the weight, whatever the queries are: only its value is projected.
            (value,) = project(keys, 2, 1)
            if seed is None:
                return jnp.broadcast_to(out(value), queries.shape)
            weights = dropout(jnp.ones((*queries.shape[:2], self.heads, 1), self.dtype), seed, self.dropout)
            mixed = weights * value.reshape(len(value), 1, self.heads, -1)
            return out(mixed.reshape(queries.shape))
        if queries is keys:
            q, k, v = project(queries, 0, 3)
        else:
            q, k, v = *project(queries, 0, 1), *project(keys, 1, 2)
        q, k, v = (jnp.swapaxes(x.reshape(*x.shape[:2], self.heads, -1), 1, 2) for x in (q, k, v))
        mixed = attend(q, k, v, mask, seed, self.dropout)
        return out(jnp.swapaxes(mixed, 1, 2).reshape(queries.shape))


def _columns(columns: slice, x: Float[Array, "*rows inputs"], params: Params) -> Float[Array, "*rows features"]:
    """A dense layer of some of its features alone."""
    return dense(x, {name: value[..., columns] for name, value in params.items()})


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def attend(
    q: Float[Array, "batch heads queries head_width"],
    k: Float[Array, "batch heads keys head_width"],
    v: Float[Array, "batch heads keys head_width"],
    mask: Bool[Array, "batch keys"] | None,
    seed: UInt32[Array, "2"] | None,
    rate: float,
) -> Float[Array, "batch heads queries head_width"]:
    """Softmax attention that keeps no weights for the backward pass: it computes them again (arXiv 2205.14135).

    Args:
      q: queries.
      k: keys.
      v: values.
      mask: which keys may be seen; all of them when None.
      seed: of the weights' dropout; None for no dropout.
      rate: of it.
    """
    return _attend_forward(q, k, v, mask, seed, rate)[0]


def _attend_forward(q: Array, k: Array, v: Array, mask: Array | None, seed: Array | None, rate: float) -> tuple:
    scores = jnp.einsum("bhqd,bhkd->bhqk", q * q.shape[-1] ** -0.5, k, preferred_element_type=jnp.float32)
    if mask is not None:
        scores = jnp.where(mask[:, None, None, :], scores, jnp.finfo(jnp.float32).min)
    most = scores.max(axis=-1, keepdims=True)
    exponentials = jnp.exp(scores - most)
    total = exponentials.sum(axis=-1, keepdims=True)
    # Divided after the product with the values, which are fewer than the weights.
    mixed = jnp.einsum("bhqk,bhkd->bhqd", dropout(exponentials, seed, rate).astype(v.dtype), v)
    mixed = (mixed / total).astype(v.dtype)
    return mixed, (q, k, v, mask, seed, mixed, (most + jnp.log(total))[..., 0])


def _attend_backward(rate: float, kept: tuple, gradient: Float[Array, "batch heads queries head_width"]) -> tuple:
    """Gradients of queries, keys and values; weights lie keys first where their products sum over queries.

    A product over the first axis of a stack of matrices is slow on a CPU, so both orders are computed anew.
    """
    q, k, v, mask, seed, mixed, log_total = kept
    scaled = q * q.shape[-1] ** -0.5
    delta = (gradient.astype(jnp.float32) * mixed.astype(jnp.float32)).sum(axis=-1)

    def products(rows: Array, columns: Array) -> Float[Array, "batch heads rows columns"]:
        return jnp.einsum("bhrd,bhcd->bhrc", rows, columns, preferred_element_type=jnp.float32)

    def mix(weights: Array, values: Array) -> Float[Array, "batch heads rows head_width"]:
        return jnp.einsum("bhrc,bhcd->bhrd", weights.astype(values.dtype), values)

    def drop(x: Array, keys_first: bool) -> Array:
        """Drops what the forward pass dropped."""
        if seed is None:
            return x
        keep = keep_mask(seed, (*q.shape[:3], k.shape[2]), rate)
        return jnp.where(jnp.swapaxes(keep, 2, 3) if keys_first else keep, x / (1.0 - rate), 0.0)

    def softmax(scores: Array, keys_first: bool) -> Array:
        """The weights of scores whose log-sum-exp over keys is known."""
        query_axis, key_axis = (3, 2) if keys_first else (2, 3)
        weights = jnp.exp(scores - jnp.expand_dims(log_total, key_axis))
        return weights if mask is None else jnp.where(jnp.expand_dims(mask, (1, query_axis)), weights, 0.0)

    by_key = softmax(products(k, scaled), True)
    to_values = mix(drop(by_key, True), gradient)
    to_keys = mix(by_key * (drop(products(v, gradient), True) - delta[:, :, None, :]), scaled)
    by_query = softmax(products(scaled, k), False)
    to_queries = mix(by_query * (drop(products(gradient, v), False) - delta[..., None]), k) * q.shape[-1] ** -0.5
    nothing = jax.tree.map(lambda x: np.zeros(x.shape, jax.dtypes.float0), (mask, seed))
    return to_queries.astype(q.dtype), to_keys.astype(k.dtype), to_values.astype(v.dtype), *nothing


attend.defvjp(_attend_forward, _attend_backward)


class PostNormLayer(nn.Module):
    """Self-attention, cross-attention to a memory if there is one, MLP; each added and then normalised.

    Attributes:
      width: of the hidden states.
      heads: of the attentions.
      mlp_width: of the hidden layer (exact GELU).
      dropout: of every branch.
      xavier: whether all kernels start with Xavier's uniform, or only the packed projection.
      dtype: of the computation.
      constrain: where a mesh may pin activations.
    """

    width: int
    heads: int
    mlp_width: int
    dropout: float = 0.1
    xavier: bool = True
    dtype: str = "float32"
    constrain: Constrain = unconstrained

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
            "constrain": self.constrain,
        }

        def added(x: Array, branch: Array, name: str) -> Array:
            branch = Dropout(self.dropout)(branch, deterministic)
            return nn.LayerNorm(epsilon=EPS, dtype=jnp.float32, name=name)(x + branch).astype(self.dtype)

        attended = MultiHeadAttention(**attention, name="self_attention")(x, x, mask, deterministic)
        x = added(x, attended, "self_norm")
        if memory is not None:
            attended = MultiHeadAttention(**attention, name="cross_attention")(x, memory, None, deterministic)
            x = added(x, attended, "cross_norm")
        hidden = linear(self.mlp_width, self.width, self.dtype, "mlp_in", self.xavier, self.constrain)(x)
        seed = Dropout(self.dropout).seed(deterministic)
        return added(x, nn.remat(PostNormLayer._mlp_out, prevent_cse=False)(self, hidden, seed), "mlp_norm")

    def _mlp_out(
        self, hidden: Float[Array, "batch slots mlp"], seed: UInt32[Array, "2"] | None
    ) -> Float[Array, "batch slots width"]:
        """The second half of the MLP, from the hidden layer before its activation: all that is kept of it."""
        hidden = dropout(nn.gelu(hidden, approximate=False), seed, self.dropout)
        return linear(self.width, self.mlp_width, self.dtype, "mlp_out", self.xavier, self.constrain)(hidden)
