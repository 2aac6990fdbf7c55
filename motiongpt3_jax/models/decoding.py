"""Prefill and decode step of a decoder with a KV cache; layers are a list here, where training scans over stacks."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.attention_masks import joined_positions, visibility
from motiongpt3_jax.models.decoder import Decoder, FinalNorm, Layer, Positions, check_streams, relative_bias
from motiongpt3_jax.models.dense import kernels_transposed, plain_kernels, unstack
from motiongpt3_jax.models.stream_block import CrossAttention
from motiongpt3_jax.models.streams import KVCache, Stream, update_slots

Tree = Any


def unstack_layers(params: Tree) -> Tree:
    """A decoder's parameters for decode steps: a list of its layers instead of stacks, see `unstack`."""
    return {**params, "layers": unstack(params["layers"])}


def cross_cache(decoder: Decoder, params: Tree, memory: Stream) -> KVCache:
    """Keys and values of a memory for the cross-attention of every layer, computed once for all decode steps.

    Args:
      decoder: the decoder, of one stream.
      params: its parameters, see `unstack_layers`.
      memory: what an encoder left.
    """
    (stream,) = decoder.config.streams
    module, embeddings = CrossAttention(stream, decoder.config), memory.embeddings.astype(decoder.config.dtype)
    pairs = [
        module.apply({"params": plain_kernels(layer[stream.name]["cross"])}, embeddings, method="keys_values")
        for layer in unstack_layers(params)["layers"]
    ]
    return KVCache(*map(list, zip(*pairs)), memory.positions, memory.segments, memory.attended)


def prefill(
    decoder: Decoder, params: Tree, streams: Mapping[str, Stream]
) -> tuple[dict[str, Float[Array, "batch slots width"]], dict[str, KVCache]]:
    """Runs a prompt: (hidden states after the final norm, its KV cache); parameters stacked or unstacked."""
    if isinstance(params["layers"], list):
        return decode_step(decoder, params, streams)
    return decoder.apply({"params": params}, streams, return_cache=True)


def decode_step(
    decoder: Decoder,
    params: Tree,
    streams: Mapping[str, Stream],
    cache: Mapping[str, KVCache] | None = None,
    index: Int[Array, ""] | None = None,
    only: Mapping[str, Bool[Array, "batch queries slots"]] | None = None,
    memory: KVCache | None = None,
) -> tuple[dict[str, Float[Array, "batch slots width"]], dict[str, KVCache]]:
    """Runs new slots against a KV cache: (their hidden states after the final norm, the cache with them written).

    Args:
      decoder: the decoder; without dropout here.
      params: its parameters, see `unstack_layers`.
      streams: the new slots; may be of some of the cache's streams.
      cache: keys and values of earlier slots; None where there are none.
      index: slot of the cache where the new slots go; they replace what it held there.
      only: slots of a cache that each query may see at most.
      memory: what layers cross-attend to, see `cross_cache`; None where they do not.

    Raises:
      UserError: a stream is not the decoder's, or has no cache.
    """
    config = replace(decoder.config, kernel_first=kernels_transposed(params["layers"]), attention="reference")
    check_streams(config, streams)
    if cache is not None and not streams.keys() <= cache.keys():
        raise UserError(f"there is a KV cache of {sorted(cache)} for the streams {sorted(streams)}; each needs its own")
    keys_of: Mapping[str, Stream | KVCache] = streams
    if cache is not None:
        keys_of = {**cache, **{name: update_slots(cache[name], stream, index) for name, stream in streams.items()}}
    masks, layer = visibility(config, streams, keys_of, only, memory), Layer(config, True, decoder.constrain)
    if config.flavour.positions == "relative":
        sides = (joined_positions(config, side) for side in (streams, keys_of))
        masks = masks._replace(bias=relative_bias(config).apply({"params": params["relative"]}, *sides))
    places = {name: stream.positions for name, stream in streams.items()}
    positions = Positions(config).apply({"params": params.get("positions", {})}, streams)
    hidden = {
        name: decoder.constrain("activation", (stream.embeddings + positions[name]).astype(config.dtype))
        for name, stream in streams.items()
    }
    keys, values = {name: [] for name in streams}, {name: [] for name in streams}
    values_of = config.layer_values
    for number, layer_params in enumerate(params["layers"]):
        layer_cache = cache and {name: (c.keys[number], c.values[number]) for name, c in cache.items()}
        layer_memory = memory and (memory.keys[number], memory.values[number])
        hidden, written = layer.apply(
            {"params": plain_kernels(layer_params)},
            hidden,
            values_of.layer(number),
            masks,
            places,
            layer_memory,
            layer_cache,
            index,
        )
        for name, (key, value) in written.items():
            keys[name].append(key)
            values[name].append(value)
    new = {
        name: KVCache(keys[name], values[name], slots.positions, slots.segments, slots.attended)
        for name, slots in keys_of.items()
        if name in streams
    }
    return FinalNorm(config).apply({"params": params["final_norm"]}, hidden), {**(cache or {}), **new}
