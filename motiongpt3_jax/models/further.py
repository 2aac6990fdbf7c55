"""Further slots of a decoder, a few at a time, after what its memory holds."""

from collections.abc import Mapping
from typing import Any

import jax
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.models.decoder import Decoder, FinalNorm, Layer, Positions, check_streams, visibility
from motiongpt3_jax.models.streams import Memory, Stream, marked

Tree = Any


def by_layer(params: Tree) -> Tree:
    """A decoder's parameters with a list of its layers instead of stacks.

    This copies them, which each layer of each call of `further` would do otherwise: do it once, before a loop.
    """
    layers = len(jax.tree.leaves(params["layers"])[0])
    return {**params, "layers": [jax.tree.map(lambda x, n=n: x[n], params["layers"]) for n in range(layers)]}


def further(
    decoder: Decoder,
    params: Tree,
    streams: Mapping[str, Stream],
    memory: Mapping[str, Memory],
    write_at: Int[Array, ""],
    only: Mapping[str, Bool[Array, "batch queries slots"]] | None = None,
) -> tuple[dict[str, Float[Array, "batch slots width"]], dict[str, Memory]]:
    """(hidden states of the streams after their final norm, the memory with the streams' slots written).

    Args:
      decoder: the decoder; without dropout here.
      params: its parameters, see `by_layer`.
      streams: what to run; may be some of the memory's streams.
      memory: keys and values of earlier slots.
      write_at: slot of the memory where the streams' slots go; they replace what it held there.
      only: slots of a memory that each query may see at most.

    Raises:
      ValueError: a stream is not the decoder's, or has no memory.
    """
    config = decoder.config
    check_streams(config, streams)
    if not streams.keys() <= memory.keys():
        raise ValueError(f"a memory of {sorted(memory)} was given with streams {sorted(streams)}; each needs its own")
    memory = {**memory, **{name: marked(memory[name], stream, write_at) for name, stream in streams.items()}}
    positions = Positions(config).apply({"params": params["positions"]}, streams)
    hidden = {
        n: decoder.constrain("residual", (s.embeddings + positions[n]).astype(config.dtype)) for n, s in streams.items()
    }
    masks, layer = visibility(config, streams, memory, only), Layer(config, True, decoder.constrain)
    keys, values = ({n: list(getattr(m, field)) for n, m in memory.items()} for field in ("keys", "values"))
    for number, (own, shared) in enumerate(zip(params["layers"], config.shared)):
        held = {name: (keys[name][number], values[name][number]) for name in memory}
        hidden, written = layer.apply({"params": own}, hidden, shared, masks, held, write_at)
        for name, (key, value) in written.items():
            keys[name][number], values[name][number] = key, value
    memory = {n: m.replace(keys=keys[n], values=values[n]) for n, m in memory.items()}
    return FinalNorm(config).apply({"params": params["final_norm"]}, hidden), memory
