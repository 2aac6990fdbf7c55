"""AdamW or Muon with clipping, schedules and a learning rate per group of paths, as one Optax transformation."""

import re
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.parallel.sharding import path_name
from motiongpt3_jax.systems.interface import Tree
from motiongpt3_jax.training.moments import with_moment_dtypes
from motiongpt3_jax.training.muon import on_matrices
from motiongpt3_jax.training.stage import OptimizerConfig

MUON_MOMENTUM = 0.95
"""Decay of the momentum that Muon orthogonalizes."""

MUON_SIZE = 0.2
"""Root mean square of Muon's updates before their rate: that of AdamW's (arXiv 2502.16982)."""

LearningRate = Callable[[Int[Array, ""]], Float[Array, ""]]
"""Learning rate schedule: update, from 0 -> rate."""


def learning_rate(config: OptimizerConfig, steps: int) -> LearningRate:
    """Learning rate of update `step`, from 0, in a stage of `steps` updates."""
    peak, end, warmup = config.learning_rate, config.final_learning_rate, config.warmup(steps)

    def rate(step: Int[Array, ""]) -> Float[Array, ""]:
        rising = jnp.minimum(1.0, (step + 1) / max(warmup, 1))
        if config.schedule == "constant":
            return peak * rising
        done = jnp.clip((step - warmup) / max(steps - 1 - warmup, 1), 0.0, 1.0)
        return rising * (end + (peak - end) * 0.5 * (1.0 + jnp.cos(jnp.pi * done)))

    return rate


def scale_by_rule(config: OptimizerConfig) -> optax.GradientTransformation:
    """Adam or Muon as an Optax transformation: Muon for the matrices that `config.muon` names, before the rate.

    Muon is the momentum of a matrix, orthogonalized by Newton-Schulz steps: it moves along all its directions alike,
    the rare ones too. Its size is that of Adam's updates, so that rates carry over (Muon is Scalable for LLM Training,
    arXiv 2502.16982, section 2.2). Axes before the last two count layers: each layer's matrix is one, and so are its
    queries, keys and values together (`training.muon`).

    Raises:
      UserError: from `init`, when a pattern matches no trainable matrix, or no moment.
    """
    adam = optax.scale_by_adam(config.b1, config.b2, config.eps)
    if not config.muon:
        return with_moment_dtypes(adam, config.moments)

    def labels(params: Tree) -> Tree:
        shapes = {path_name(path): x.shape for path, x in jax.tree.leaves_with_path(params)}
        for pattern in config.muon:
            matched = [path for path in shapes if re.fullmatch(pattern, path)]
            if not matched:
                raise UserError(f"'{pattern}' of `muon` matches no trainable matrix; correct it.")
            for path in matched:
                if len(shapes[path]) < 2:
                    raise UserError(
                        f"'{pattern}' of `muon` matches {path} of shape {shapes[path]}, which is no matrix."
                    )
        return jax.tree.map_with_path(lambda path, _: label(path_name(path)), params)

    def label(path: str) -> str:
        return "muon" if any(re.fullmatch(pattern, path) for pattern in config.muon) else "adam"

    def matrices(params: Tree) -> Tree:
        return jax.tree.map(lambda x: optax.contrib.MuonDimensionNumbers(x.ndim - 2, x.ndim - 1), params)

    def scale_to_adam(updates: Tree, _: Tree | None) -> Tree:
        return jax.tree.map(lambda x: MUON_SIZE * max(x.shape[-2:]) ** 0.5 * x, updates)

    orthogonal = optax.contrib.scale_by_muon(beta=MUON_MOMENTUM, weight_dimension_numbers=matrices)
    muon = on_matrices(optax.chain(orthogonal, optax.stateless(scale_to_adam)))
    return with_moment_dtypes(optax.partition({"muon": muon, "adam": adam}, labels), config.moments)


def make_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """The optimizer of a stage of `steps` updates, as one Optax chain."""
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity(),
        scale_by_rule(config),
        optax.add_decayed_weights(config.weight_decay) if config.weight_decay else optax.identity(),
        scale_by_group(config.groups),
        optax.scale_by_learning_rate(learning_rate(config, steps)),
    )


def scale_by_group(groups: Sequence[tuple[str, float]]) -> optax.GradientTransformation:
    """Learning rate multipliers by path: the factor of the first pattern that matches a parameter's whole path.

    Raises:
      UserError: from `init`, when a pattern matches no trainable parameter.
    """

    def factor(path: str) -> float:
        return next((factor for pattern, factor in groups if re.fullmatch(pattern, path)), 1.0)

    def init(params: Tree) -> optax.EmptyState:
        paths = [path_name(path) for path, _ in jax.tree.leaves_with_path(params)]
        for pattern, _ in groups:
            if not any(re.fullmatch(pattern, path) for path in paths):
                raise UserError(f"learning-rate group '{pattern}' matches no trainable parameter; correct it.")
        return optax.EmptyState()

    def update(updates: Tree, state: optax.EmptyState, params: Tree | None = None) -> tuple[Tree, optax.EmptyState]:
        del params
        return jax.tree.map_with_path(lambda path, x: x * factor(path_name(path)), updates), state

    return optax.GradientTransformation(init, update)
