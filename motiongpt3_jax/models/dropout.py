"""Dropout with counter-based random bits: cheap to draw, and drawn again in the backward pass instead of kept."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt32


class Dropout(nn.Module):
    """Zeroes each value with chance `rate` and scales the others, so that the mean stays.

    Attributes:
      rate: chance of a zero.
    """

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "*shape"], deterministic: bool = True) -> Float[Array, "*shape"]:
        """The values, some of them zero; all of them as they are when `deterministic`."""
        return dropout(x, self.seed(deterministic), self.rate)

    def seed(self, deterministic: bool) -> UInt32[Array, "2"] | None:
        """Two words from the stream of keys "dropout"; None when nothing is to be dropped."""
        if deterministic or not self.rate:
            return None
        return jax.random.bits(self.make_rng("dropout"), (2,), jnp.uint32)


def dropout(x: Float[Array, "*shape"], seed: UInt32[Array, "2"] | None, rate: float) -> Float[Array, "*shape"]:
    """Values times a Bernoulli mask over its mean; without a seed, the values."""
    return x if seed is None else _dropout(x, seed, rate)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _dropout(x: Float[Array, "*shape"], seed: UInt32[Array, "2"], rate: float) -> Float[Array, "*shape"]:
    # The mask is a function of the seed, so the backward pass needs no array of this one.
    return jnp.where(keep_mask(seed, x.shape, rate), x / (1.0 - rate), 0.0).astype(x.dtype)


def _forward(x: Array, seed: Array, rate: float) -> tuple[Array, Array]:
    return _dropout(x, seed, rate), seed


def _backward(rate: float, seed: Array, gradient: Array) -> tuple[Array, np.ndarray]:
    return _dropout(gradient, seed, rate), np.zeros(seed.shape, jax.dtypes.float0)


_dropout.defvjp(_forward, _backward)


def keep_mask(seed: UInt32[Array, "2"], shape: tuple[int, ...], rate: float) -> Bool[Array, "*shape"]:
    """True with chance `1 - rate`: each place's number, mixed with the seed, against a threshold.

    The mixer is an integer hash of two multiplications (the finalizer of MurmurHash3): elementwise, so a compiler fuses
    it with what it masks, and a mesh computes each shard's part in place.
    """
    place = jnp.zeros(shape, jnp.uint32)
    stride = 1
    for axis in reversed(range(len(shape))):
        place += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * np.uint32(stride % 2**32)
        stride *= shape[axis]
    bits = _mixed(_mixed(place ^ seed[0]) + seed[1])
    return bits >= np.uint32(min(round(rate * 2**32), 2**32 - 1))


def _mixed(x: UInt32[Array, "*shape"]) -> UInt32[Array, "*shape"]:
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
