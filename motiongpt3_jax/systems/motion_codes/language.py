"""The language model as losses and answers need it: a T5 over two streams, or a decoder alone over one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.batch import StreamSlots
from motiongpt3_jax.models import (
    T5,
    Decoder,
    KVCache,
    Stream,
    T5Config,
    Tables,
    Vocabulary,
    decode_step,
    decode_step_t5,
    grow,
    prefill,
    prefill_t5,
    unpack_cache,
    unpack_slots,
    unstack_layers,
    unstack_t5,
)
from motiongpt3_jax.models.constrain import Constrain
from motiongpt3_jax.systems.interface import Tree
from motiongpt3_jax.systems.motion_codes.config import CodeModelConfig

Ids = Mapping[str, Int[Array, "rows slots"]]
Rngs = Mapping[str, jax.Array] | None


class Prefix(struct.PyTreeNode):
    """What prefill leaves for decode steps.

    Attributes:
      hidden: hidden state that the first new token follows.
      cache: KV cache of the stream that is written.
      memory: keys and values of what was read; None for a decoder alone.
      positions: of the first new token.
    """

    hidden: Float[Array, "rows width"]
    cache: dict[str, KVCache]
    memory: KVCache | None
    positions: Int[Array, "rows"]


class Steps(NamedTuple):
    """New tokens for a decode step, see `models.generate_text.DecodeStep`."""

    tokens: Int[Array, "rows beams"]
    positions: Int[Array, "rows beams"]
    index: Int[Array, ""]
    only: Bool[Array, "rows beams slots"] | None


class LanguageModel(Protocol):
    """Words and motions in, words and motions out.

    Attributes:
      vocabulary: ids to vectors, vectors to logits; its parameters are `vocabulary`.
      written: name of the stream that it writes, whose slots have targets.
    """

    vocabulary: Vocabulary
    written: str

    def init(self, rng: jax.Array) -> dict[str, Any]:
        """Fresh parameters, but for the vocabulary's."""

    def hidden(
        self,
        params: Tree,
        slots: Mapping[str, StreamSlots],
        ids: Ids,
        rngs: Rngs = None,
        tables: Tables | None = None,
    ) -> Array:
        """Hidden states of the slots of the written stream; dropout where there are keys for it.

        Tables are those of the vocabulary, where its logits share them.
        """

    def unstacked(self, params: Tree) -> Tree:
        """The parameters with layers one by one, of which decode steps copy none."""

    def prefill(
        self,
        params: Tree,
        slots: Mapping[str, StreamSlots],
        ids: Ids,
        room: int,
        places: Mapping[str, Int[Array, "prompts slots"]] | None = None,
    ) -> Prefix:
        """Runs prompts, and leaves room in the KV cache for so many slots more.

        Args:
          params: of the system.
          slots: of each stream.
          ids: of each stream.
          room: slots of the KV cache for what is written.
          places: of packed prompts, see `batch.Places.slots`; None where each has its row.
        """

    def decode_step(
        self, params: Tree, memory: KVCache | None, cache: dict[str, KVCache], steps: Steps
    ) -> tuple[Float[Array, "rows beams width"], dict[str, KVCache]]:
        """Runs new tokens: (their hidden states, the KV cache with them)."""


def embed(
    vocabulary: Vocabulary,
    params: Tree,
    slots: StreamSlots,
    ids: Int[Array, "rows slots"],
    tables: Tables | None = None,
) -> Stream:
    """The stream of some ids; padding holds zeros."""
    vectors = vocabulary.apply({"params": params["vocabulary"]}, ids, tables, method="embed")
    vectors = jnp.where((slots.segments > 0)[..., None], vectors, 0.0)
    return Stream(vectors, slots.positions, slots.segments, slots.attended)


def logits_of(vocabulary: Vocabulary, params: Tree, hidden: Float[Array, "*batch width"], new: bool = False) -> Array:
    """Scores of all ids, or of those of motions alone."""
    return vocabulary.apply({"params": params["vocabulary"]}, hidden, method="new_logits" if new else "logits")


def _probe(width: int) -> Stream:
    zeros = jnp.zeros((1, 1), jnp.int32)
    return Stream(jnp.zeros((1, 1, width)), zeros, zeros + 1, zeros == 0)


def _new_slots(vocabulary: Vocabulary, params: Tree, steps: Steps) -> Stream:
    vectors = vocabulary.apply({"params": params["vocabulary"]}, steps.tokens, method="embed")
    return Stream(vectors, steps.positions, jnp.ones_like(steps.tokens), jnp.ones_like(steps.tokens, bool))


def _last(slots: KVCache, hidden: Float[Array, "rows slots width"]) -> Float[Array, "rows width"]:
    """The hidden state of each row's last slot; segments are not empty."""
    last = (slots.segments > 0).sum(axis=1) - 1
    return jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]


def _next_positions(slots: KVCache) -> Int[Array, "rows"]:
    return jnp.where(slots.segments > 0, slots.positions, -1).max(axis=1) + 1


@dataclass(frozen=True)
class T5Language:
    """A T5: reads `source`, writes `target`.

    Attributes:
      module: the encoder-decoder.
      vocabulary: of both streams; the logits have rows of their own.
    """

    module: T5
    vocabulary: Vocabulary
    written: str = "target"

    def init(self, rng: jax.Array) -> dict[str, Any]:
        """Fresh parameters of the encoder-decoder."""
        probe = _probe(self.module.config.width)
        return {"t5": self.module.init(rng, probe, probe)["params"]}

    def hidden(
        self,
        params: Tree,
        slots: Mapping[str, StreamSlots],
        ids: Ids,
        rngs: Rngs = None,
        tables: Tables | None = None,
    ) -> Array:
        """Hidden states of the target over those of the source."""
        source, target = (
            embed(self.vocabulary, params, slots[name], ids[name], tables) for name in ("source", "target")
        )
        return self.module.apply({"params": params["t5"]}, source, target, deterministic=rngs is None, rngs=rngs)

    def unstacked(self, params: Tree) -> Tree:
        """Lists of layers in both halves."""
        return {**params, "t5": unstack_t5(params["t5"])}

    def prefill(
        self,
        params: Tree,
        slots: Mapping[str, StreamSlots],
        ids: Ids,
        room: int,
        places: Mapping[str, Int[Array, "prompts slots"]] | None = None,
    ) -> Prefix:
        """Encodes the source, and runs what the target begins with."""
        source, target = (embed(self.vocabulary, params, slots[name], ids[name]) for name in ("source", "target"))
        hidden, cache, memory = prefill_t5(self.module, unstack_t5(params["t5"]), source, target)
        cache = cache["target"]
        if places is not None:
            hidden, cache = unpack_slots(hidden, places["target"]), unpack_cache(cache, places["target"])
            memory = unpack_cache(memory, places["source"])
        return Prefix(_last(cache, hidden), {"target": grow(cache, room)}, memory, _next_positions(cache))

    def decode_step(
        self, params: Tree, memory: KVCache | None, cache: dict[str, KVCache], steps: Steps
    ) -> tuple[Float[Array, "rows beams width"], dict[str, KVCache]]:
        """Runs new tokens of the target."""
        new = _new_slots(self.vocabulary, params, steps)
        return decode_step_t5(self.module, params["t5"], new, cache, memory, steps.index, steps.only)


@dataclass(frozen=True)
class DecoderLanguage:
    """A decoder alone, as GPT-2 or Gemma: question and answer are one stream.

    Attributes:
      module: the decoder.
      vocabulary: of the stream, tied to the logits.
    """

    module: Decoder
    vocabulary: Vocabulary
    written: str = "tokens"

    def init(self, rng: jax.Array) -> dict[str, Any]:
        """Fresh parameters of the decoder."""
        (stream,) = self.module.config.streams
        return {"decoder": self.module.init(rng, {"tokens": _probe(stream.width)})["params"]}

    def hidden(
        self,
        params: Tree,
        slots: Mapping[str, StreamSlots],
        ids: Ids,
        rngs: Rngs = None,
        tables: Tables | None = None,
    ) -> Array:
        """Hidden states of all slots."""
        stream = embed(self.vocabulary, params, slots["tokens"], ids["tokens"], tables)
        hidden = self.module.apply(
            {"params": params["decoder"]}, {"tokens": stream}, deterministic=rngs is None, rngs=rngs
        )
        return hidden["tokens"]

    def unstacked(self, params: Tree) -> Tree:
        """A list of layers."""
        return {**params, "decoder": unstack_layers(params["decoder"])}

    def prefill(
        self,
        params: Tree,
        slots: Mapping[str, StreamSlots],
        ids: Ids,
        room: int,
        places: Mapping[str, Int[Array, "prompts slots"]] | None = None,
    ) -> Prefix:
        """Runs the prompts."""
        stream = embed(self.vocabulary, params, slots["tokens"], ids["tokens"])
        hidden, cache = prefill(self.module, params["decoder"], {"tokens": stream})
        hidden, cache = hidden["tokens"], cache["tokens"]
        if places is not None:
            hidden, cache = unpack_slots(hidden, places["tokens"]), unpack_cache(cache, places["tokens"])
        return Prefix(_last(cache, hidden), {"tokens": grow(cache, room)}, None, _next_positions(cache))

    def decode_step(
        self, params: Tree, memory: KVCache | None, cache: dict[str, KVCache], steps: Steps
    ) -> tuple[Float[Array, "rows beams width"], dict[str, KVCache]]:
        """Runs new tokens."""
        only = None if steps.only is None else {"tokens": steps.only}
        new = {"tokens": _new_slots(self.vocabulary, params, steps)}
        hidden, cache = decode_step(self.module, params["decoder"], new, cache, steps.index, only)
        return hidden["tokens"], cache


def make_language(config: CodeModelConfig, constrain: Constrain | None) -> LanguageModel:
    """The language model of some sizes.

    Args:
      config: of a T5, or of a decoder alone, and of its ids.
      constrain: where a mesh may pin the sharding of an activation.
    """
    pinned, language, ids = (
        {"constrain": constrain} if constrain else {},
        config.language,
        (config.words, config.new_ids),
    )
    if isinstance(language, T5Config):
        vocabulary = Vocabulary(*ids, language.width, language.dtype, tied=False, std=1.0, **pinned)
        return T5Language(T5(language, **pinned), vocabulary)
    written = {"tied": config.tied, "scale": language.embedding_scale, "cap": config.logit_cap}
    written |= {"later": config.later_ids}
    vocabulary = Vocabulary(*ids, language.streams[0].width, language.dtype, **written, **pinned)
    return DecoderLanguage(Decoder(language, **pinned), vocabulary)
