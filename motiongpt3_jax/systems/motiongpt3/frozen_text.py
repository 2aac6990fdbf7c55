"""Training beside a frozen text branch: which text slots need no backward pass, as nothing that trains reaches them."""

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict
from jaxtyping import Array, Bool

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3.gpt2 import TEXT


def text_is_frozen(variables: Variables) -> bool:
    """Whether no gradient is taken of the text branch: its layers, positions and base vocabulary."""
    branch = {path for path in flatten_dict(variables.params, sep="/") if TEXT.fullmatch(path)}
    return branch <= variables.frozen


def trained_slots(batch: Batch, vocabulary: int) -> Bool[Array, "rows slots"]:
    """Text slots that may depend on what trains beside the text branch.

    In each sequence they begin with the first id of its own, such as the start of a motion, or motion slot: attention
    is causal, so nothing before them does.

    Args:
      batch: ids, positions and segments.
      vocabulary: ids of the base table.
    """
    text = batch.streams["text"]
    sources = [(text, text.ids >= vocabulary)]
    if "motion" in batch.streams:
        motion = batch.streams["motion"]
        sources.append((motion, motion.segments > 0))
    found = jnp.zeros(text.ids.shape, bool)
    for slots, trains in sources:
        same = text.segments[:, :, None] == slots.segments[:, None, :]
        past = text.positions[:, :, None] >= slots.positions[:, None, :]
        found |= jnp.any(same & past & trains[:, None, :], axis=2)
    return found & (text.segments > 0)


def trained_last(batch: Batch, vocabulary: int) -> tuple[Batch, Bool[Array, "rows slots"]]:
    """(the batch with the text slots of each row in another order, which of them are `trained_slots`: the last ones).

    A slot knows its segment and position, so their order changes nothing. Those of a sequence stay in theirs.
    """
    trained = trained_slots(batch, vocabulary)
    order = jnp.argsort(trained, axis=1, stable=True)
    text = jax.tree.map(lambda x: jnp.take_along_axis(x, order, axis=1), batch.streams["text"])
    ordered = batch.replace(streams={**batch.streams, "text": text})
    return ordered, jnp.take_along_axis(trained, order, axis=1)
