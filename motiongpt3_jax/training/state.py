"""The train state: parameters, optimizer state, EMA, step, random key."""

import zlib

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Int, UInt32

from motiongpt3_jax.systems.interface import Tree

Tally = dict[str, tuple[Float[Array, ""], Float[Array, ""]]]
"""Running (sum, count) of every metric, by its name."""


class TrainState(struct.PyTreeNode):
    """Train state, which a step takes and returns; frozen parameters stand beside it.

    Attributes:
      step: updates done.
      params: the trainable parameters.
      ema: their exponential moving average, or empty.
      state: the system's arrays that move without gradients.
      optimizer: Optax's state.
      key: data of the stage's random key. Raw, since typed keys take jit's slow way in and out.
      tally: reported numbers, summed since the last report.
    """

    step: Int[Array, ""]
    params: Tree
    ema: Tree
    state: Tree
    optimizer: Tree
    key: UInt32[Array, "words"]
    tally: Tally


def new_state(
    params: Tree, state: Tree, optimizer: optax.GradientTransformation, ema: bool, key: Array, names: list[str]
) -> TrainState:
    """The initial train state, before the first step.

    Args:
      params: the trainable parameters.
      state: the system's arrays that move without gradients.
      optimizer: the stage's optimizer.
      ema: whether a moving average is kept.
      key: the stage's key, typed.
      names: the numbers that are reported.
    """
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema=jax.tree.map(jnp.copy, params) if ema else {},
        state=state,
        optimizer=optimizer.init(params),
        key=jax.random.key_data(key),
        tally={name: (jnp.zeros(()), jnp.zeros(())) for name in names},
    )


def stage_key(seed: int, stage: str) -> Array:
    """The key of a stage: a function of the run's seed and the stage's name."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(stage.encode()))
