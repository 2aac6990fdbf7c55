"""A decoder-only Transformer over one or several streams that share attention (MotionGPT3, section 3).

Every stream is dense, with its own norms, projections and MLP. In each layer their queries, keys and values meet in one
attention over all slots; whether two slots see each other is decided by segment, position and `attended`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.dense_heads import DenseFromHeads, HeadWeights, dense_to_heads
from motiongpt3_jax.models.dropout import Dropout
from motiongpt3_jax.models.flavour import ACTIVATIONS, GPT2, BlockFlavour, repeat_heads, rotate
from motiongpt3_jax.models.streams import KVCache, Stream, update_slice, visible

Constrain = Callable[[str, Array], Array]
Heads = Float[Array, "batch heads slots head_width"]
KeyValues = tuple[Heads, Heads]
Masks = tuple[Bool[Array, "batch queries keys"], Bool[Array, "queries keys"]]
INIT = 0.02


@dataclass(frozen=True)
class StreamConfig:
    """Sizes of one stream.

    Attributes:
      name: as in the dictionaries of streams.
      width: of its hidden states.
      mlp_width: of its hidden layer.
    """

    name: str
    width: int
    mlp_width: int


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes and options of a decoder.

    Attributes:
      streams: the streams; the first one's position table also serves streams of its width.
      layers, heads, head_width: the same for all streams.
      max_positions: rows of a position table.
      shared: per layer, whether streams see each other.
      dropout: of embeddings, attention weights and residual branches.
      scan: whether layers run in one compiled loop; never changes parameters.
      remat: whether the backward pass recomputes each layer; never changes parameters.
      dtype: of the computation; parameters are float32, softmax and norms too.
      eps: of the norms.
      flavour: norm, MLP, biases, positions and head grouping of the blocks.
    """

    streams: tuple[StreamConfig, ...]
    layers: int
    heads: int
    head_width: int
    max_positions: int
    shared: tuple[bool, ...]
    dropout: float
    scan: bool
    remat: bool
    dtype: str
    eps: float = 1e-5
    flavour: BlockFlavour = GPT2

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.heads if self.flavour.kv_heads is None else self.flavour.kv_heads

    def __post_init__(self) -> None:
        if self.kv_heads < 1 or self.heads % self.kv_heads:
            raise UserError(f"{self.heads} heads do not share {self.kv_heads} heads of keys and values; take a divisor")
        if self.flavour.positions == "rotary" and self.head_width % 2:
            raise UserError(f"rotary positions rotate pairs of channels; {self.head_width} channels a head are odd")
        if len(self.shared) != self.layers:
            raise UserError(
                f"{len(self.shared)} entries say which of {self.layers} layers share attention; give one each"
            )
        names = [stream.name for stream in self.streams]
        if len(set(names)) != len(names) or not names:
            raise UserError(f"the decoder's streams are named {names}; give at least one, each another name")


def unconstrained(name: str, x: Array) -> Array:
    """Leaves an activation's sharding alone."""
    return x


class StreamBlock(nn.Module):
    """One stream's part of a layer: what comes before the attention, and what comes after it."""

    stream: StreamConfig
    config: DecoderConfig
    constrain: Constrain = unconstrained

    def setup(self) -> None:
        config, flavour = self.config, self.config.flavour
        init, bias = nn.initializers.normal(INIT), flavour.biases
        dense = {"dtype": config.dtype, "kernel_init": init, "use_bias": bias}
        # GPT-2 scales the last projection of each residual branch; here, as officially, only the MLP's.
        last = {**dense, "kernel_init": nn.initializers.normal(INIT / (2 * config.layers) ** 0.5)}
        self.attention_norm = flavour.make_norm(config.eps)
        self.q = HeadWeights(config.heads, config.head_width, init, bias)
        self.k, self.v = (HeadWeights(config.kv_heads, config.head_width, init, bias) for _ in range(2))
        self.o = DenseFromHeads(self.stream.width, **dense)
        self.mlp_norm = flavour.make_norm(config.eps)
        if flavour.gated:
            self.gate = nn.Dense(self.stream.mlp_width, **dense)
        self.up = nn.Dense(self.stream.mlp_width, **dense)
        self.down = nn.Dense(self.stream.width, **last)
        self.dropout = Dropout(config.dropout)

    def project(
        self, x: Float[Array, "batch slots width"], positions: Int[Array, "batch slots"]
    ) -> tuple[Heads, Heads, Heads]:
        """Queries, keys and values."""
        config, normed = self.config, self.attention_norm(x)
        q, k, v = (projection(x.shape[-1]) for projection in (self.q, self.k, self.v))
        mesh = jax.sharding.get_abstract_mesh()
        joined = mesh.empty or mesh.size == 1
        if config.kv_heads == config.heads:
            query, key, value = dense_to_heads(normed, [q, k, v], config.dtype, joined)
        else:
            (query,) = dense_to_heads(normed, [q], config.dtype, joined)
            key, value = dense_to_heads(normed, [k, v], config.dtype, joined)
        if config.flavour.positions == "rotary":
            query, key = rotate(query, positions), rotate(key, positions)
        return query, key, value

    def finish(
        self,
        x: Float[Array, "batch slots width"],
        mixed: Float[Array, "batch slots heads head_width"],
        deterministic: bool,
    ) -> Float[Array, "batch slots width"]:
        """Adds the attention's and the MLP's result."""
        x = x + self.dropout(self.o(mixed), deterministic=deterministic)
        flavour, normed = self.config.flavour, self.mlp_norm(x)
        activate = ACTIVATIONS[flavour.activation]
        hidden = activate(self.gate(normed)) * self.up(normed) if flavour.gated else activate(self.up(normed))
        hidden = self.constrain("mlp", hidden)
        x = x + self.dropout(self.down(hidden), deterministic=deterministic)
        return self.constrain("residual", x)


class Layer(nn.Module):
    """One layer over all streams, shaped for a scan over layers."""

    config: DecoderConfig
    deterministic: bool
    constrain: Constrain = unconstrained

    @nn.compact
    def __call__(
        self,
        hidden: dict[str, Array],
        shared: Bool[Array, ""],
        masks: Masks,
        positions: Mapping[str, Int[Array, "batch slots"]],
        cache: Mapping[str, KeyValues] | None = None,
        index: Int[Array, ""] | None = None,
    ) -> tuple[dict[str, Array], dict[str, KeyValues]]:
        """(hidden states after the layer, keys and values of the streams; with a cache, it with them written)."""
        blocks = {
            s.name: StreamBlock(s, self.config, self.constrain, name=s.name)
            for s in self.config.streams
            if s.name in hidden
        }
        projected = {name: block.project(hidden[name], positions[name]) for name, block in blocks.items()}
        keys_values = {name: (key, value) for name, (_, key, value) in projected.items()}
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
        mixed = self._attend(queries, sources, masks[0] & (shared | masks[1]))
        after, first = {}, 0
        for name, block in blocks.items():
            slots = hidden[name].shape[1]
            after[name] = block.finish(hidden[name], mixed[:, first : first + slots], self.deterministic)
            first += slots
        return after, keys_values

    def _attend(
        self,
        queries: Float[Array, "batch heads queries head_width"],
        sources: Sequence[KeyValues],
        seen: Bool[Array, "batch queries keys"],
    ) -> Float[Array, "batch queries heads head_width"]:
        """One softmax over the keys of all sources; they are not joined, which would copy a KV cache in every step."""
        sources = [tuple(repeat_heads(x, self.config.heads) for x in pair) for pair in sources]
        scores = [jnp.einsum("bhqd,bhkd->bhqk", queries, k, preferred_element_type=jnp.float32) for k, _ in sources]
        scores = jnp.concatenate(scores, axis=-1) * self.config.head_width**-0.5
        scores = jnp.where(seen[:, None], scores, jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(scores, axis=-1).astype(queries.dtype)
        weights = Dropout(self.config.dropout)(weights, deterministic=self.deterministic)
        ends = np.cumsum([k.shape[2] for k, _ in sources])[:-1]
        parts = zip(jnp.split(weights, ends, axis=-1), sources)
        return sum(jnp.einsum("bhqk,bhkd->bqhd", part, v) for part, (_, v) in parts)


class Positions(nn.Module):
    """Position embeddings: one table for the streams of the first width, one for each stream of another.

    None where positions are not learned.
    """

    config: DecoderConfig

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
                tables[owner.name] = self.param(owner.name, nn.initializers.normal(INIT), shape)
            tables[stream.name] = tables[owner.name]
        return {name: jnp.take(tables[name], stream.positions, axis=0) for name, stream in streams.items()}


class FinalNorm(nn.Module):
    """The last norm of every stream."""

    config: DecoderConfig

    @nn.compact
    def __call__(self, hidden: dict[str, Array]) -> dict[str, Array]:
        """Normalised hidden states."""
        return {
            s.name: self.config.flavour.make_norm(self.config.eps, s.name)(hidden[s.name])
            for s in self.config.streams
            if s.name in hidden
        }


class Decoder(nn.Module):
    """The Transformer. Parameters: positions/<stream>, layers/<stream>/... (stacked), final_norm/<stream>.

    Attributes:
      config: sizes and options.
      constrain: where a mesh may pin activations: "residual" and "mlp".
    """

    config: DecoderConfig
    constrain: Constrain = unconstrained

    @nn.compact
    def __call__(
        self,
        streams: Mapping[str, Stream],
        *,
        return_cache: bool = False,
        deterministic: bool = True,
    ) -> Any:
        """Hidden states of every stream after its final norm.

        Args:
          streams: what to run; may be some of the config's streams.
          return_cache: also return the KV cache for decode steps after these slots.
          deterministic: no dropout.

        Returns:
          {stream: (batch, slots, width)}, with a cache also {stream: KVCache}.
        """
        config = self.config
        check_streams(config, streams)
        dropout = Dropout(config.dropout)
        positions = Positions(config, name="positions")(streams)
        hidden = {
            name: self.constrain(
                "residual",
                dropout((s.embeddings + positions[name]).astype(config.dtype), deterministic=deterministic),
            )
            for name, s in streams.items()
        }
        hidden, keys_values = self._layers(hidden, visibility(config, streams, streams), streams, deterministic)
        hidden = FinalNorm(config, name="final_norm")(hidden)
        if not return_cache:
            return hidden
        return hidden, {
            name: KVCache(*map(list, keys_values[name]), s.positions, s.segments, s.attended)
            for name, s in streams.items()
        }

    def _layers(
        self, hidden: dict[str, Array], masks: Masks, streams: Mapping[str, Stream], deterministic: bool
    ) -> tuple[dict[str, Array], dict[str, KeyValues]]:
        config = self.config
        layer = nn.remat(Layer, prevent_cse=False) if config.remat else Layer
        scanned = nn.scan(
            layer,
            variable_axes={"params": 0, "intermediates": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(0, nn.broadcast, nn.broadcast),
            length=config.layers,
            unroll=1 if config.scan else config.layers,
        )
        stack = scanned(config, deterministic, self.constrain, name="layers")
        positions = {name: stream.positions for name, stream in streams.items()}
        return stack(hidden, jnp.array(config.shared), masks, positions)


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


def visibility(
    config: DecoderConfig,
    queries: Mapping[str, Stream],
    keys: Mapping[str, Stream | KVCache],
    only: Mapping[str, Bool[Array, "batch queries slots"]] | None = None,
) -> Masks:
    """Attention masks: (which keys each query sees, which are of its own stream), both in the config's order.

    Args:
      config: the decoder's.
      queries, keys: the streams of both.
      only: slots of a stream of keys that each query may see at most.
    """
    rows, columns = ([s.name for s in config.streams if s.name in side] for side in (queries, keys))
    seen = {c: jnp.concatenate([visible(queries[row], keys[c]) for row in rows], axis=1) for c in columns}
    for name, allowed in (only or {}).items():
        seen[name] &= allowed
    slots = {c: keys[c].positions.shape[1] for c in columns}
    same = [[np.full((queries[row].positions.shape[1], slots[c]), row == c) for c in columns] for row in rows]
    return jnp.concatenate([seen[c] for c in columns], axis=2), jnp.asarray(np.block(same))
