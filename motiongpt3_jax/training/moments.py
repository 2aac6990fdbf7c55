"""Optimizer moments in bfloat16 by path pattern, with stochastic rounding: half the memory of Adam's state."""

import re
import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, BFloat16, Float, Int, UInt32

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.parallel.sharding import path_name
from motiongpt3_jax.systems.interface import Tree

MOMENT = re.compile(r"(?:^|/)((?:mu|nu)/.*)")
"""A moment's path in an optimizer's state: what stands behind `mu` or `nu` is the parameter's."""


def with_moment_dtypes(inner: optax.GradientTransformation, dtypes: Sequence[tuple[str, str]]) -> Tree:
    """An optimizer whose moments lie in the dtype of the first pattern that matches their path; it computes in theirs.

    Its state has the paths of the inner one's, so a run goes on where patterns change.

    Args:
      inner: the optimizer.
      dtypes: (pattern of "mu/PATH" or "nu/PATH", dtype).

    Raises:
      UserError: from `init`, when a pattern matches no moment.
    """
    if not dtypes:
        return inner

    def init(params: Tree) -> Tree:
        state = inner.init(params)
        names = [name for path, _ in jax.tree.leaves_with_path(state) if (name := _moment(path))]
        for pattern, _ in dtypes:
            if not any(re.fullmatch(pattern, name) for name in names):
                near = ", ".join(names[:3])
                raise UserError(f"'{pattern}' of `moments` matches no moment, such as {near}; correct it.")
        return jax.tree.map_with_path(lambda path, x: x.astype(_dtype(path, dtypes, x)), state)

    def update(updates: Tree, state: Tree, params: Tree | None = None) -> tuple[Tree, Tree]:
        own = jax.eval_shape(inner.init, updates)
        updates, new = inner.update(updates, jax.tree.map(lambda x, like: x.astype(like.dtype), state, own), params)
        count = next(x for path, x in jax.tree.leaves_with_path(new) if path_name(path).split("/")[-1] == "count")

        def narrow(path: tuple[object, ...], x: Array) -> Array:
            dtype = jnp.dtype(_dtype(path, dtypes, x))
            return x if dtype == x.dtype else round_stochastically(x, count, zlib.crc32(path_name(path).encode()))

        return updates, jax.tree.map_with_path(narrow, new)

    return optax.GradientTransformation(init, update)


def _moment(path: tuple[object, ...]) -> str | None:
    """What patterns match of a place in an optimizer's state; None where no moment is."""
    match = MOMENT.search(path_name(path))
    return match and match[1]


def _dtype(path: tuple[object, ...], dtypes: Sequence[tuple[str, str]], x: Array) -> jnp.dtype | str:
    name = _moment(path)
    return next((dtype for pattern, dtype in dtypes if name and re.fullmatch(pattern, name)), x.dtype)


def round_stochastically(x: Float[Array, "*shape"], step: Int[Array, ""], salt: int) -> BFloat16[Array, "*shape"]:
    """float32 to bfloat16, up or down with chances by which the mean stays.

    Rounded to the nearest, an average that moves by less than half a last digit in a step would stand still. What
    decides is a hash of step, place and salt: the same on every mesh, and each device makes its own part.
    """
    strides = np.cumprod([1, *x.shape[:0:-1]])[::-1]
    places = jnp.zeros(x.shape, jnp.uint32)
    for axis, stride in enumerate(strides[-x.ndim :] if x.ndim else ()):
        places += jax.lax.broadcasted_iota(jnp.uint32, x.shape, axis) * np.uint32(stride & 0xFFFFFFFF)
    noise = _hash(places ^ _hash(step.astype(jnp.uint32) + np.uint32(salt))) & np.uint32(0xFFFF)
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32) + noise
    kept = jax.lax.bitcast_convert_type(bits & np.uint32(0xFFFF0000), jnp.float32)
    return kept.astype(jnp.bfloat16)


def _hash(x: UInt32[Array, "*shape"]) -> UInt32[Array, "*shape"]:
    """The end of MurmurHash3: each bit of the result depends on each bit of x."""
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
