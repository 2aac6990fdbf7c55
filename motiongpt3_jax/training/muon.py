"""Muon on attention projections whose heads are axes of their own: which arrays are one matrix, there and back.

Muon's update depends on what counts as one matrix. Queries, keys and values of a layer count as one, (width, all their
heads), as GPT-2 stores them: rates were chosen for that, and runs go on as they began that stored them so.
"""

import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from motiongpt3_jax.parallel.sharding import path_name
from motiongpt3_jax.systems.interface import Tree

TO_HEADS = re.compile(r"(.*/)?[qkv]/kernel")
"""Kernels (..., width, heads, head width)."""

FROM_HEADS = re.compile(r"(.*/)?o/kernel")
"""Kernels (..., heads, head width, width)."""

FACTOR = re.compile(r"(.*/)?lora/[^/]+/(?P<factor>[ab])")
"""Factors of LoRA adapters: a (layers, *inputs, rank), b (layers, rank, *outputs)."""


def on_matrices(muon: optax.GradientTransformation) -> optax.GradientTransformation:
    """Muon on `to_matrices` of a tree; its momentum (`mu`) has the paths and shapes of the parameters."""

    def init(params: Tree) -> Tree:
        return optax.tree.set(muon.init(to_matrices(params)), mu=jax.tree.map(jnp.zeros_like, params))

    def update(updates: Tree, state: Tree, params: Tree | None = None) -> tuple[Tree, Tree]:
        del params
        packed = optax.tree.set(state, mu=to_matrices(optax.tree.get(state, "mu")))
        new, packed = muon.update(to_matrices(updates), packed)
        momentum = from_matrices(optax.tree.get(packed, "mu"), updates)
        return from_matrices(new, updates), optax.tree.set(packed, mu=momentum)

    return optax.GradientTransformation(init, update)


def to_matrices(tree: Tree) -> dict[str, Array]:
    """The matrices of a tree, (..., rows, columns), each by the path of its first array."""
    arrays = _arrays(tree)
    groups = {group[0]: group for group in (_group(path, arrays) for path in arrays)}
    return {
        first: jnp.concatenate([_matrix(path, arrays[path]) for path in group], axis=-1)
        for first, group in groups.items()
    }


def from_matrices(matrices: Mapping[str, Array], like: Tree) -> Tree:
    """The tree whose `to_matrices` these are, in the shapes of another one."""
    shapes = _arrays(like)

    def array(keys: tuple, x: Array) -> Array:
        path = path_name(keys)
        group = _group(path, shapes)
        ends = np.cumsum([np.prod(shapes[name].shape[-2:]) for name in group])[:-1] if len(group) > 1 else []
        return jnp.split(matrices[group[0]], ends, axis=-1)[group.index(path)].reshape(x.shape)

    return jax.tree.map_with_path(array, like)


def _arrays(tree: Tree) -> dict[str, Array]:
    return {path_name(path): x for path, x in jax.tree.leaves_with_path(tree)}


def _group(path: str, arrays: Mapping[str, Array]) -> list[str]:
    """The paths that are one matrix with this one: queries, keys and values, as far as there are and rows fit."""
    if not TO_HEADS.fullmatch(path):
        return [path]
    names = [f"{path.removesuffix('/kernel')[:-1]}{name}/kernel" for name in "qkv"]
    return [name for name in names if name in arrays and arrays[name].shape[:-2] == arrays[path].shape[:-2]]


def _matrix(path: str, x: Array) -> Array:
    if TO_HEADS.fullmatch(path):
        return x.reshape(*x.shape[:-2], -1)
    if FROM_HEADS.fullmatch(path):
        return x.reshape(*x.shape[:-3], -1, x.shape[-1])
    factor = FACTOR.fullmatch(path)
    if factor:
        return x.reshape(len(x), -1, x.shape[-1]) if factor["factor"] == "a" else x.reshape(*x.shape[:2], -1)
    return x
