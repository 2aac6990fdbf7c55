"""The losses of the stages, as sums and counts, and the random numbers that they use."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.models import (
    ReseedSlots,
    advance_codebook,
    cross_entropy,
    effective_rank,
    perplexity,
    quantise,
    reseed_slots,
    straight_through,
    vqvae_loss,
)
from motiongpt3_jax.models.codebook import LEAST_COUNT, Codebook
from motiongpt3_jax.systems.interface import Terms, Tree, Variables
from motiongpt3_jax.systems.motion_codes.codes import buckets, codes_of_batch, encode_clips, fill_targets, filled
from motiongpt3_jax.systems.motion_codes.config import LanguageObjective, TokenizerObjective
from motiongpt3_jax.systems.motion_codes.modules import Modules
from motiongpt3_jax.systems.motion_codes.tokens import FRAMES_PER_CODE, codes_of


class Draws(struct.PyTreeNode):
    """Every random number of a loss.

    Attributes:
      reseed: which places of the batch re-seed which codes.
      dropout: key of the dropout masks; None in evaluation.
    """

    reseed: ReseedSlots
    dropout: jax.Array | None = None


def draw(modules: Modules, key: jax.Array, batch: Batch, train: bool) -> Draws:
    """The order of the whole batch's places, and a key."""
    config, valid = modules.config, [jnp.zeros((len(batch.samples), 0), bool)]
    for features, frames in buckets(batch):
        places = jnp.arange(codes_of(features.shape[2])) * FRAMES_PER_CODE
        valid.append((places < frames[..., None]).reshape(len(frames), -1))
    keys, vqvae = jax.random.split(key), config.vqvae
    return Draws(
        reseed=reseed_slots(keys[0], jnp.concatenate(valid, axis=1), vqvae.codes, vqvae.code_width, config.permute),
        dropout=keys[1] if train else None,
    )


def tokenizer_terms(
    modules: Modules, variables: Variables, batch: Batch, draws: Draws, objective: TokenizerObjective
) -> Terms:
    """Reconstruction through the codebook and commitment to it, and what moves the codebook."""
    rows, codebook = len(batch.samples), variables.state["codebook"]
    clips = [(x.reshape(-1, *x.shape[2:]), frames.reshape(-1)) for x, frames in buckets(batch)]
    encoded = [encode_clips(modules, variables, features, frames) for features, frames in clips]
    vectors = [x.reshape(rows, -1, x.shape[-1]) for x, _ in encoded]
    quantised = quantise(codebook, jnp.concatenate(vectors, axis=1), draws.reseed)
    ends = np.cumsum([x.shape[1] for x in vectors])[:-1]
    parts = []
    for (features, frames), (x, codes), q in zip(clips, encoded, jnp.split(quantised.vectors, ends, axis=1)):
        q = q.reshape(x.shape)
        decoded = decode_codes(modules, variables, straight_through(x, q), codes)[:, : features.shape[1]]
        parts.append(vqvae_loss(features, decoded, x, q, frames, codes, objective.distance))
    sums, counts = (jax.tree.map(lambda *x: sum(x), *side) for side in zip(*parts))
    metrics = codebook_numbers(codebook, evaluation=draws.dropout is None)
    return Terms(sums=sums, counts=counts, metrics=metrics, state_sums={"codebook": quantised.sums})


def codebook_numbers(codebook: Codebook, evaluation: bool) -> dict[str, tuple[Array, Array]]:
    """Whether the codebook is in use; its effective rank, which takes time, in evaluation alone."""
    counts = codebook["counts"]
    numbers = {"perplexity": perplexity(counts), "used_codes": (counts >= LEAST_COUNT).sum()}
    if evaluation:
        numbers["effective_rank"] = effective_rank(codebook["table"])
    one = jnp.ones(())
    return {name: (number * one, one) for name, number in numbers.items()}


def decode_codes(modules: Modules, variables: Variables, vectors: Array, codes: Array) -> Array:
    """Features of quantised vectors, four frames each."""
    return modules.vqvae.apply({"params": variables.params["vqvae"]}, vectors, codes, method="decode")


def advance(state: Tree, sums: Tree) -> Tree:
    """The state after one update: the codebook moved towards what its codes replaced."""
    return {"codebook": advance_codebook(state["codebook"], sums["codebook"])}


def language_terms(
    modules: Modules, variables: Variables, batch: Batch, draws: Draws, objective: LanguageObjective
) -> Terms:
    """Cross-entropy of the next token, words and codes alike."""
    modules = modules.using(objective.adapter)
    language, params, streams = modules.language, variables.params, batch.streams
    codes = codes_of_batch(modules, variables, batch)
    ids = filled(streams, codes, modules.config.first_code)
    rngs = {"dropout": draws.dropout} if objective.dropout and draws.dropout is not None else None
    # On a mesh embeddings and logits share what is read of tables, and sum its gradients over devices once.
    vocabulary, table_params = language.vocabulary, params["vocabulary"]
    tables = vocabulary.apply({"params": table_params}, method="tables") if modules.constrain else None
    hidden = language.hidden(params, streams, ids, rngs, tables)
    slots = streams[language.written]
    targets = fill_targets(slots, ids[language.written])
    found = cross_entropy(vocabulary, table_params, hidden, targets, slots.weights, tables)
    right = found.right * slots.weights
    motion = slots.weights * (targets >= modules.config.words)
    return Terms(
        sums={"text": found.loss},
        counts={"text": slots.weights.sum()},
        metrics={
            "accuracy": (right.sum(), slots.weights.sum()),
            "motion_accuracy": ((right * motion).sum(), motion.sum()),
        },
    )
