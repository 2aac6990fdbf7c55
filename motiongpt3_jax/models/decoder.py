"""A Transformer over one or several streams that share attention (MotionGPT3, section 3); also half of a T5.

Every stream is dense, with its own norms, projections and MLP. In each layer their queries, keys and values meet in one
attention over all slots; whether two slots see each other is decided by segment, position and `attended`. A decoder may
cross-attend to a memory; an encoder, which makes one, is the same without causality.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.attention_kernels import KeyRanges, cudnn_attention, cudnn_takes, splash_attention
from motiongpt3_jax.models.attention_masks import (
    Masks,
    joined_positions,
    joined_segments,
    key_ranges,
    layer_mask,
    visibility,
)
from motiongpt3_jax.models.constrain import Constrain, unconstrained
from motiongpt3_jax.models.decoder_config import DecoderConfig, LayerValues
from motiongpt3_jax.models.dropout import Dropout
from motiongpt3_jax.models.flavour import repeat_heads
from motiongpt3_jax.models.relative_bias import RelativeBias
from motiongpt3_jax.models.remat import recomputed_in_scan, remat
from motiongpt3_jax.models.stream_block import INIT, Heads, KeyValues, StreamBlock
from motiongpt3_jax.models.streams import KVCache, Stream, stop_untrained, update_slice
from motiongpt3_jax.models.vocabulary import soft_cap


class Layer(nn.Module):
    """One layer over all streams, shaped for a scan over layers."""

    config: DecoderConfig
    deterministic: bool
    constrain: Constrain = unconstrained

    @nn.compact
    def __call__(
        self,
        hidden: dict[str, Array],
        values: LayerValues,
        masks: Masks,
        positions: Mapping[str, Int[Array, "batch slots"]],
        memory: Float[Array, "batch slots width"] | KeyValues | None = None,
        cache: Mapping[str, KeyValues] | None = None,
        index: Int[Array, ""] | None = None,
    ) -> tuple[dict[str, Array], dict[str, KeyValues]]:
        """(hidden states after the layer, keys and values of the streams; with a cache, it with them written).

        A memory is what it holds, or the keys and values of this layer's cross-attention to it.
        """
        trained = masks.trained or {}
        present = [s for s in self.config.streams if s.name in hidden]
        owned = {
            owner: StreamBlock(s, replace(self.config, trailing=s.name in trained), self.constrain, name=owner)
            for owner, s in {s.owner: s for s in present}.items()
        }
        blocks = {s.name: owned[s.owner] for s in present}
        projected = {
            name: block.project(hidden[name], positions[name], values.frequencies, self.deterministic)
            for name, block in blocks.items()
        }
        keys_values = {
            name: (_stop_untrained_heads(key, trained.get(name)), _stop_untrained_heads(value, trained.get(name)))
            for name, (_, key, value) in projected.items()
        }
        queries = jnp.concatenate([query for query, _, _ in projected.values()], axis=2)
        if cache is None:
            sources = [tuple(jnp.concatenate(parts, axis=2) for parts in zip(*keys_values.values()))]
        else:
            keys_values = {
                name: tuple(update_slice(*pair, index) for pair in zip(cache[name], new))
                for name, new in keys_values.items()
            }
            every = {**cache, **keys_values}
            sources = [every[s.name] for s in self.config.streams if s.name in every]
        if masks.segments is None:
            mixed = self._attend(queries, sources, masks, values)
        else:
            ranges = key_ranges(self.config, hidden)
            numbers = ranges.pack(layer_mask(masks, values))
            mixed = self._splash(ranges, queries, *sources[0], numbers, *masks.segments)
        after, first = {}, 0
        for name, block in blocks.items():
            here = slice(first, first + hidden[name].shape[1])
            read = None if memory is None else self._reader(block, memory, Masks(masks.memory[:, here], None))
            after[name] = block.finish(hidden[name], mixed[:, here], self.deterministic, read)
            first = here.stop
        return after, keys_values

    def _reader(
        self,
        block: StreamBlock,
        memory: Float[Array, "batch slots width"] | KeyValues,
        masks: Masks,
    ) -> Callable[[Heads], Float[Array, "batch queries heads head_width"]]:
        """Queries to what they read from the memory."""
        keys_values = memory if isinstance(memory, tuple) else block.cross.keys_values(memory, self.deterministic)
        return lambda queries: self._attend(queries, [keys_values], masks)

    def _splash(self, ranges: KeyRanges, *arrays: Array) -> Float[Array, "batch places heads head_width"]:
        """Attention of whole rows by a kernel, on each device that of its own rows and heads."""
        config, names = self.config, ["attention"] * 3 + ["activation"] * 3
        kernel = partial(splash_attention, ranges=ranges, scale=config.score_scale, cap=config.flavour.attention_cap)
        return jnp.swapaxes(self.constrain.per_device(kernel, names, "attention")(*arrays), 1, 2)

    def _attend(
        self,
        queries: Float[Array, "batch heads queries head_width"],
        sources: Sequence[KeyValues],
        masks: Masks,
        values: LayerValues | None = None,
    ) -> Float[Array, "batch queries heads head_width"]:
        """Attention to the keys of one or several sources, by a kernel where there is one.

        Args:
          queries: of all streams.
          sources: keys and values.
          masks: which keys are seen.
          values: those of the layer; None for what masks say, as of a memory.
        """
        drops, one = not self.deterministic and self.config.attention_dropout, len(sources) == 1
        plain = masks.bias is None and one and not drops
        if self.config.attention == "cudnn" and plain and cudnn_takes(self.config):
            seen = masks.seen if values is None else layer_mask(masks, values)
            return cudnn_attention(queries, *sources[0], seen, self.config.score_scale)
        return recomputed_in_scan(Layer._weigh, self.config.scan and one)(self, queries, sources, masks, values)

    def _weigh(
        self,
        queries: Float[Array, "batch heads queries head_width"],
        sources: Sequence[KeyValues],
        masks: Masks,
        values: LayerValues | None,
    ) -> Float[Array, "batch queries heads head_width"]:
        """One softmax over the keys of all sources; they are not joined, which would copy a KV cache in every step."""
        # Here, so that a scan computes a layer's mask again instead of stacking them for the backward pass.
        seen = masks.seen if values is None else layer_mask(masks, values)
        sources = [tuple(repeat_heads(x, self.config.heads) for x in pair) for pair in sources]
        scores = [jnp.einsum("bhqd,bhkd->bhqk", queries, k, preferred_element_type=jnp.float32) for k, _ in sources]
        scores = jnp.concatenate(scores, axis=-1)
        scores = soft_cap(scores * self.config.score_scale, self.config.flavour.attention_cap)
        if masks.bias is not None:
            scores = scores + masks.bias
        scores = jnp.where(seen[:, None], scores, jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(scores, axis=-1).astype(queries.dtype)
        weights = Dropout(self.config.attention_dropout)(weights, deterministic=self.deterministic)
        ends = np.cumsum([k.shape[2] for k, _ in sources])[:-1]
        parts = zip(jnp.split(weights, ends, axis=-1), sources)
        return sum(jnp.einsum("bhqk,bhkd->bqhd", part, v) for part, (_, v) in parts)


def _stop_untrained_heads(x: Heads, trained: Bool[Array, "batch slots"] | None) -> Heads:
    return x if trained is None else jnp.swapaxes(stop_untrained(jnp.swapaxes(x, 1, 2), trained), 1, 2)


class Positions(nn.Module):
    """Position embeddings: one table for the streams of the first width, one for each stream of another.

    None where positions are not learned.
    """

    config: DecoderConfig
    constrain: Constrain = unconstrained

    @nn.compact
    def __call__(self, streams: Mapping[str, Stream]) -> dict[str, Float[Array, "batch slots width"]]:
        """The vector of each slot's position."""
        if self.config.flavour.positions != "learned":
            return {name: jnp.zeros_like(stream.embeddings) for name, stream in streams.items()}
        first = self.config.streams[0]
        tables = {}
        for stream in self.config.streams:
            owner = first if stream.width == first.width else stream
            if owner.name not in tables:
                shape = (self.config.max_positions, owner.width)
                table = self.param(owner.name, nn.initializers.normal(INIT), shape)
                tables[owner.name] = self.constrain("positions", table)
            tables[stream.name] = tables[owner.name]
        return {name: jnp.take(tables[name], stream.positions, axis=0) for name, stream in streams.items()}


def relative_bias(config: DecoderConfig, name: str | None = None) -> RelativeBias:
    """The module of the bias that every layer adds to its attention scores where positions are relative."""
    flavour = config.flavour
    return RelativeBias(config.heads, flavour.buckets, flavour.max_distance, not config.causal, name=name)


class FinalNorm(nn.Module):
    """The last norm of every stream."""

    config: DecoderConfig

    @nn.compact
    def __call__(self, hidden: dict[str, Array]) -> dict[str, Array]:
        """Normalised hidden states."""
        present = [s for s in self.config.streams if s.name in hidden]
        norms = {
            owner: self.config.flavour.make_norm(self.config.eps, owner) for owner in {s.owner: s for s in present}
        }
        return {s.name: norms[s.owner](hidden[s.name]) for s in present}


class Decoder(nn.Module):
    """The Transformer. Parameters: positions/<stream> or relative/table, layers/<stream>/... (stacked), final_norm/...

    Attributes:
      config: sizes and options.
      constrain: where a mesh may pin activations.
    """

    config: DecoderConfig
    constrain: Constrain = unconstrained

    @nn.compact
    def __call__(
        self,
        streams: Mapping[str, Stream],
        *,
        memory: Stream | None = None,
        return_cache: bool = False,
        deterministic: bool = True,
    ) -> Any:
        """Hidden states of every stream after its final norm.

        Args:
          streams: what to run; may be some of the config's streams.
          memory: what layers cross-attend to, where they do: each slot to its own segment's.
          return_cache: also return the KV cache for decode steps after these slots.
          deterministic: no dropout.

        Returns:
          {stream: (batch, slots, width)}, with a cache also {stream: KVCache}.
        """
        config = self.config
        check_streams(config, streams)
        dropout = Dropout(config.dropout)
        positions = Positions(config, self.constrain, name="positions")(streams)
        hidden = {
            name: self.constrain(
                "activation",
                dropout((s.embeddings + positions[name]).astype(config.dtype), deterministic=deterministic),
            )
            for name, s in streams.items()
        }
        masks = visibility(config, streams, streams, memory=memory)
        if config.flavour.positions == "relative":
            places = joined_positions(config, streams)
            masks = masks._replace(bias=relative_bias(config, "relative")(places, places))
        elif config.attention == "splash" and (deterministic or not config.attention_dropout):
            fits = key_ranges(config, hidden).fit
            masks = masks._replace(segments=joined_segments(config, streams) if fits else None)
        trained = {name: s.trained for name, s in streams.items() if s.trained is not None}
        masks = masks._replace(trained=trained or None)
        hidden, keys_values = self._layers(hidden, masks, streams, memory, deterministic)
        hidden = {name: stop_untrained(x, streams[name].trained) for name, x in hidden.items()}
        hidden = FinalNorm(config, name="final_norm")(hidden)
        if config.flavour.inner_dropout:
            hidden = {name: dropout(x, deterministic=deterministic) for name, x in hidden.items()}
        if not return_cache:
            return hidden
        return hidden, {
            name: KVCache(*map(list, keys_values[name]), s.positions, s.segments, s.attended)
            for name, s in streams.items()
        }

    def _layers(
        self,
        hidden: dict[str, Array],
        masks: Masks,
        streams: Mapping[str, Stream],
        memory: Stream | None,
        deterministic: bool,
    ) -> tuple[dict[str, Array], dict[str, KeyValues]]:
        config = self.config
        scanned = nn.scan(
            remat(Layer, config.remat, looped=config.scan),
            variable_axes={"params": 0, "intermediates": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(0, nn.broadcast, nn.broadcast, nn.broadcast),
            length=config.layers,
            unroll=1 if config.scan else config.layers,
        )
        stack = scanned(config, deterministic, self.constrain, name="layers")
        positions = {name: stream.positions for name, stream in streams.items()}
        read = None if memory is None else memory.embeddings.astype(config.dtype)
        return stack(hidden, jax.tree.map(jnp.asarray, config.layer_values), masks, positions, read)


def check_streams(config: DecoderConfig, streams: Mapping[str, Stream]) -> None:
    """Refuses streams that the decoder does not have, or of another width.

    Raises:
      UserError: what they are, and what the decoder has.
    """
    known = {stream.name: stream.width for stream in config.streams}
    if not streams or not streams.keys() <= known.keys():
        raise UserError(f"the decoder was given the streams {sorted(streams)}; it has {sorted(known)}")
    for name, stream in streams.items():
        if stream.embeddings.shape[-1] != known[name]:
            raise UserError(
                f"stream {name!r} is {stream.embeddings.shape[-1]} wide; the decoder's is {known[name]} wide"
            )
