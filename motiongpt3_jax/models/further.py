"""A decoder without its scan over layers: further slots after what a memory holds, and one pass that leaves one."""

from collections.abc import Mapping
from typing import Any

import jax
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.decoder import Decoder, FinalNorm, Layer, Positions, check_streams, visibility
from motiongpt3_jax.models.streams import Memory, Stream, marked

Tree = Any


def by_layer(params: Tree) -> Tree:
    """A decoder's parameters with a list of its layers instead of stacks, of which every use would copy its layer.

    This copies all of them: do it once, before a loop or when a model is loaded. Lists stay as they are.
    """
    stacked = params["layers"]
    if isinstance(stacked, list):
        return params
    layers = len(jax.tree.leaves(stacked)[0])
    return {**params, "layers": [jax.tree.map(lambda x, n=n: x[n], stacked) for n in range(layers)]}


def read(
    decoder: Decoder, params: Tree, streams: Mapping[str, Stream]
) -> tuple[dict[str, Float[Array, "batch slots width"]], dict[str, Memory]]:
    """(hidden states after the final norm, the memory that they leave); parameters stacked or `by_layer`."""
    if isinstance(params["layers"], list):
        return further(decoder, params, streams)
    return decoder.apply({"params": params}, streams, return_memory=True)


def further(
    decoder: Decoder,
    params: Tree,
    streams: Mapping[str, Stream],
    memory: Mapping[str, Memory] | None = None,
    write_at: Int[Array, ""] | None = None,
    only: Mapping[str, Bool[Array, "batch queries slots"]] | None = None,
) -> tuple[dict[str, Float[Array, "batch slots width"]], dict[str, Memory]]:
    """(hidden states of the streams after their final norm, the memory with the streams' slots written).

    Args:
      decoder: the decoder; without dropout here.
      params: its parameters, see `by_layer`.
      streams: what to run; may be some of the memory's streams.
      memory: keys and values of earlier slots; None where there are none.
      write_at: slot of the memory where the streams' slots go; they replace what it held there.
      only: slots of a memory that each query may see at most.

    Raises:
      UserError: a stream is not the decoder's, or has no memory.
    """
    config = decoder.config
    check_streams(config, streams)
    if memory is not None and not streams.keys() <= memory.keys():
        raise UserError(f"a memory of {sorted(memory)} was given with streams {sorted(streams)}; each needs its own")
    known = streams
    if memory is not None:
        known = {**memory, **{name: marked(memory[name], stream, write_at) for name, stream in streams.items()}}
    masks, layer = visibility(config, streams, known, only), Layer(config, True, decoder.constrain)
    positions = Positions(config).apply({"params": params["positions"]}, streams)
    hidden = {
        n: decoder.constrain("residual", (s.embeddings + positions[n]).astype(config.dtype)) for n, s in streams.items()
    }
    keys, values = {name: [] for name in streams}, {name: [] for name in streams}
    for number, (own, shared) in enumerate(zip(params["layers"], config.shared)):
        held = memory and {name: (m.keys[number], m.values[number]) for name, m in memory.items()}
        hidden, written = layer.apply({"params": own}, hidden, shared, masks, held, write_at)
        for name, (key, value) in written.items():
            keys[name].append(key)
            values[name].append(value)
    left = {n: Memory(keys[n], values[n], known[n].positions, known[n].segments, known[n].attended) for n in streams}
    return FinalNorm(config).apply({"params": params["final_norm"]}, hidden), {**(memory or {}), **left}
