"""MotionGPT3's text generation: prefill and decode step for the decoding loop."""

from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.batch import Batch, Places
from motiongpt3_jax.models import (
    KVCache,
    Stream,
    decode_step,
    grow,
    prefill,
    unpack_cache,
    unpack_slots,
    unstack_layers,
)
from motiongpt3_jax.models.generate_text import generate_text
from motiongpt3_jax.models.token_sampling import TextOptions
from motiongpt3_jax.systems.interface import Tree, Variables
from motiongpt3_jax.systems.motiongpt3.forward import streams
from motiongpt3_jax.systems.motiongpt3.modules import Modules


def respond_text(
    modules: Modules,
    variables: Variables,
    batch: Batch,
    options: TextOptions,
    latents: Float[Array, "rows clips latents width"] | None = None,
    seeds: Int[Array, "requests"] | None = None,
    places: Places | None = None,
) -> Int[Array, "requests tokens"]:
    """Generates the continuation of every prompt, see `models.generate_text`.

    Args:
      modules: the model's parts.
      variables: its arrays.
      batch: the requests.
      options: how to choose tokens.
      latents: of the input clips, see `generate_motion.understand`; None where none enters.
      seeds: of the requests, for sampling alone.
      places: of requests that share rows; None where each has its row.

    Raises:
      UserError: tokens are to be sampled, and there are no seeds.
    """
    params = variables.params
    hidden, cache = prefill(modules.decoder, params["decoder"], streams(modules, params, batch, latents))
    hidden = hidden["text"]
    if places is not None:
        hidden = unpack_slots(hidden, places.slots["text"])
        cache = {name: unpack_cache(part, places.slots[name]) for name, part in cache.items()}
    last = (cache["text"].segments > 0).sum(axis=1) - 1
    hidden = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
    return generate_text(
        modules.text.apply({"params": params["vocabulary"]["text"]}, hidden, method="logits"),
        {**cache, "text": grow(cache["text"], options.cache_slots)},
        partial(_decode_step, modules, {**params, "decoder": unstack_layers(params["decoder"])}),
        options,
        vocabulary=modules.config.vocabulary + modules.config.new_ids,
        positions=jnp.max(jnp.stack([_last_position(s) for s in cache.values()]), axis=0) + 1,
        index=cache["text"].positions.shape[1],
        seeds=seeds,
    )


def _decode_step(
    modules: Modules,
    params: Tree,
    cache: dict[str, KVCache],
    tokens: Int[Array, "rows beams"],
    positions: Int[Array, "rows beams"],
    index: Int[Array, ""],
    only: Bool[Array, "rows beams slots"] | None,
) -> tuple[Float[Array, "rows beams padded"], dict[str, KVCache]]:
    """Runs new text tokens: (logits of the next ones, the KV cache with these)."""
    vocabulary = {"params": params["vocabulary"]["text"]}
    slots = Stream(
        embeddings=modules.text.apply(vocabulary, tokens, method="embed"),
        positions=positions,
        segments=jnp.ones_like(tokens),
        attended=jnp.ones_like(tokens, bool),
    )
    only_text = None if only is None else {"text": only}
    hidden, cache = decode_step(modules.decoder, params["decoder"], {"text": slots}, cache, index, only_text)
    return modules.text.apply(vocabulary, hidden["text"], method="logits"), cache


def _last_position(slots: KVCache) -> Int[Array, "rows"]:
    return jnp.where(slots.segments > 0, slots.positions, -1).max(axis=1, initial=-1)
