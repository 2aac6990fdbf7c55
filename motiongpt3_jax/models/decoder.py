"""A Transformer over one or several streams that share attention (MotionGPT3, section 3); also half of a T5.

Every stream is dense, with its own norms, projections and MLP. In each layer their queries, keys and values meet in one
attention over all slots; whether two slots see each other is decided by segment, position and `attended`. A decoder may
cross-attend to a memory; an encoder, which makes one, is the same without causality.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.dense_heads import DenseFromHeads, HeadWeights, dense_to_heads
from motiongpt3_jax.models.dropout import Dropout
from motiongpt3_jax.models.flavour import ACTIVATIONS, GPT2, BlockFlavour, repeat_heads, rotate
from motiongpt3_jax.models.relative_bias import RelativeBias
from motiongpt3_jax.models.streams import KVCache, Stream, update_slice, visible

Constrain = Callable[[str, Array], Array]
Heads = Float[Array, "batch heads slots head_width"]
KeyValues = tuple[Heads, Heads]
INIT = 0.02


class Masks(NamedTuple):
    """What each query attends to.

    Attributes:
      seen: which keys it sees.
      same: which of them are of its own stream.
      memory: which slots of the memory it sees; None without one.
      bias: what is added to the scores; None for nothing.
    """

    seen: Bool[Array, "batch queries keys"]
    same: Bool[Array, "queries keys"]
    memory: Bool[Array, "batch queries slots"] | None = None
    bias: Float[Array, "batch heads queries keys"] | None = None


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
      causal: whether a slot sees what came before it alone; an encoder's does not.
      cross: whether layers cross-attend to a memory, between attention and MLP.
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
    causal: bool = True
    cross: bool = False

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


def one_device() -> bool:
    """Whether no mesh splits what is computed; then projections can be one product."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.empty or mesh.size == 1


def kernel_inits(stream: StreamConfig, config: DecoderConfig) -> dict[str, nn.initializers.Initializer]:
    """How the kernels of a stream's projections start; keys and values alike, `up` and `gate` alike."""
    normal, width, inner = nn.initializers.normal, stream.width, config.heads * config.head_width
    if config.flavour.init == "normal":
        # GPT-2 scales the last projection of each residual branch; here, as officially, only the MLP's.
        return {**dict.fromkeys(("q", "k", "o", "up"), normal(INIT)), "down": normal(INIT / (2 * config.layers) ** 0.5)}
    # Scores that nothing scales start as if they were: by their queries.
    query = width if config.flavour.scaled else width * config.head_width
    inputs = {"q": query, "k": width, "o": inner, "up": width, "down": stream.mlp_width}
    return {name: normal(number**-0.5) for name, number in inputs.items()}


class CrossAttention(nn.Module):
    """Projections of a cross-attention to a memory of the stream's width."""

    stream: StreamConfig
    config: DecoderConfig

    def setup(self) -> None:
        config, biases, init = self.config, self.config.flavour.biases, kernel_inits(self.stream, self.config)
        self.q = HeadWeights(config.heads, config.head_width, init["q"], biases)
        self.k, self.v = (HeadWeights(config.kv_heads, config.head_width, init["k"], biases) for _ in range(2))
        self.o = DenseFromHeads(self.stream.width, config.dtype, init["o"], biases)

    def query(self, x: Float[Array, "batch slots width"]) -> Heads:
        """Queries of normalised hidden states."""
        return dense_to_heads(x, [self.q(x.shape[-1])], self.config.dtype, one_device())[0]

    def keys_values(self, memory: Float[Array, "batch slots width"]) -> KeyValues:
        """Keys and values of a memory."""
        weights = [projection(memory.shape[-1]) for projection in (self.k, self.v)]
        key, value = dense_to_heads(memory, weights, self.config.dtype, one_device())
        return key, value


class StreamBlock(nn.Module):
    """One stream's part of a layer: what comes before the attention, and what comes after it."""

    stream: StreamConfig
    config: DecoderConfig
    constrain: Constrain = unconstrained

    def setup(self) -> None:
        config, flavour, init = self.config, self.config.flavour, kernel_inits(self.stream, self.config)
        dense = {"dtype": config.dtype, "use_bias": flavour.biases}
        self.attention_norm = flavour.make_norm(config.eps)
        self.q = HeadWeights(config.heads, config.head_width, init["q"], flavour.biases)
        self.k, self.v = (HeadWeights(config.kv_heads, config.head_width, init["k"], flavour.biases) for _ in range(2))
        self.o = DenseFromHeads(self.stream.width, kernel_init=init["o"], **dense)
        if config.cross:
            self.cross_norm = flavour.make_norm(config.eps)
            self.cross = CrossAttention(self.stream, config)
        self.mlp_norm = flavour.make_norm(config.eps)
        if flavour.gated:
            self.gate = nn.Dense(self.stream.mlp_width, kernel_init=init["up"], **dense)
        self.up = nn.Dense(self.stream.mlp_width, kernel_init=init["up"], **dense)
        self.down = nn.Dense(self.stream.width, kernel_init=init["down"], **dense)
        self.dropout = Dropout(config.dropout)

    def project(
        self, x: Float[Array, "batch slots width"], positions: Int[Array, "batch slots"]
    ) -> tuple[Heads, Heads, Heads]:
        """Queries, keys and values."""
        config, normed = self.config, self.attention_norm(x)
        q, k, v = (projection(x.shape[-1]) for projection in (self.q, self.k, self.v))
        joined = one_device()
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
        read: Callable[[Heads], Float[Array, "batch slots heads head_width"]] | None = None,
    ) -> Float[Array, "batch slots width"]:
        """Adds the attention's, the cross-attention's and the MLP's result.

        Args:
          x: the hidden states before the layer.
          mixed: what the attention read.
          deterministic: no dropout.
          read: what the memory holds for some queries; needed where layers cross-attend.
        """
        x = x + self.dropout(self.o(mixed), deterministic=deterministic)
        if self.config.cross:
            mixed = read(self.cross.query(self.cross_norm(x)))
            x = x + self.dropout(self.cross.o(mixed), deterministic=deterministic)
        flavour, normed = self.config.flavour, self.mlp_norm(x)
        activate = ACTIVATIONS[flavour.activation]
        hidden = activate(self.gate(normed)) * self.up(normed) if flavour.gated else activate(self.up(normed))
        hidden = self.constrain("mlp", hidden)
        if flavour.inner_dropout:
            hidden = self.dropout(hidden, deterministic=deterministic)
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
        memory: Float[Array, "batch slots width"] | KeyValues | None = None,
        cache: Mapping[str, KeyValues] | None = None,
        index: Int[Array, ""] | None = None,
    ) -> tuple[dict[str, Array], dict[str, KeyValues]]:
        """(hidden states after the layer, keys and values of the streams; with a cache, it with them written).

        A memory is what it holds, or the keys and values of this layer's cross-attention to it.
        """
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
        mixed = self._attend(queries, sources, masks.seen & (shared | masks.same), masks.bias)
        after, first = {}, 0
        for name, block in blocks.items():
            here = slice(first, first + hidden[name].shape[1])
            read = None if memory is None else self._reader(block, memory, masks.memory[:, here])
            after[name] = block.finish(hidden[name], mixed[:, here], self.deterministic, read)
            first = here.stop
        return after, keys_values

    def _reader(
        self,
        block: StreamBlock,
        memory: Float[Array, "batch slots width"] | KeyValues,
        seen: Bool[Array, "batch queries slots"],
    ) -> Callable[[Heads], Float[Array, "batch queries heads head_width"]]:
        """Queries to what they read from the memory."""
        keys_values = memory if isinstance(memory, tuple) else block.cross.keys_values(memory)
        return lambda queries: self._attend(queries, [keys_values], seen)

    def _attend(
        self,
        queries: Float[Array, "batch heads queries head_width"],
        sources: Sequence[KeyValues],
        seen: Bool[Array, "batch queries keys"],
        bias: Float[Array, "batch heads queries keys"] | None = None,
    ) -> Float[Array, "batch queries heads head_width"]:
        """One softmax over the keys of all sources; they are not joined, which would copy a KV cache in every step."""
        sources = [tuple(repeat_heads(x, self.config.heads) for x in pair) for pair in sources]
        scores = [jnp.einsum("bhqd,bhkd->bhqk", queries, k, preferred_element_type=jnp.float32) for k, _ in sources]
        scores = jnp.concatenate(scores, axis=-1)
        if self.config.flavour.scaled:
            scores = scores * self.config.head_width**-0.5
        if bias is not None:
            scores = scores + bias
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


def relative_bias(config: DecoderConfig, name: str | None = None) -> RelativeBias:
    """The module of the bias that every layer adds to its attention scores where positions are relative."""
    flavour = config.flavour
    return RelativeBias(config.heads, flavour.buckets, flavour.max_distance, not config.causal, name=name)


def joined_positions(config: DecoderConfig, streams: Mapping[str, Stream | KVCache]) -> Int[Array, "batch slots"]:
    """Positions of the slots of all streams, in the config's order."""
    return jnp.concatenate([streams[s.name].positions for s in config.streams if s.name in streams], axis=1)


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
    """The Transformer. Parameters: positions/<stream> or relative/table, layers/<stream>/... (stacked), final_norm/...

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
        positions = Positions(config, name="positions")(streams)
        hidden = {
            name: self.constrain(
                "residual",
                dropout((s.embeddings + positions[name]).astype(config.dtype), deterministic=deterministic),
            )
            for name, s in streams.items()
        }
        masks = visibility(config, streams, streams, memory=memory)
        if config.flavour.positions == "relative":
            places = joined_positions(config, streams)
            masks = masks._replace(bias=relative_bias(config, "relative")(places, places))
        hidden, keys_values = self._layers(hidden, masks, streams, memory, deterministic)
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
        layer = nn.remat(Layer, prevent_cse=False) if config.remat else Layer
        scanned = nn.scan(
            layer,
            variable_axes={"params": 0, "intermediates": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(0, nn.broadcast, nn.broadcast, nn.broadcast),
            length=config.layers,
            unroll=1 if config.scan else config.layers,
        )
        stack = scanned(config, deterministic, self.constrain, name="layers")
        positions = {name: stream.positions for name, stream in streams.items()}
        held = None if memory is None else memory.embeddings.astype(config.dtype)
        return stack(hidden, jnp.array(config.shared), masks, positions, held)


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
    memory: Stream | KVCache | None = None,
) -> Masks:
    """Attention masks of queries and keys in the config's order.

    Args:
      config: the decoder's.
      queries, keys: the streams of both.
      only: slots of a stream of keys that each query may see at most.
      memory: what layers cross-attend to.

    Raises:
      UserError: there is a memory and no layer reads it, or none where all do.
    """
    if config.cross != (memory is not None):
        wants, has = ("a memory", "none") if config.cross else ("no memory", "one")
        raise UserError(f"the decoder cross-attends to {wants}, and was given {has}")
    rows, columns = ([s.name for s in config.streams if s.name in side] for side in (queries, keys))
    seen = {
        c: jnp.concatenate([visible(queries[row], keys[c], config.causal) for row in rows], axis=1) for c in columns
    }
    for name, allowed in (only or {}).items():
        seen[name] &= allowed
    slots = {c: keys[c].positions.shape[1] for c in columns}
    same = [[np.full((queries[row].positions.shape[1], slots[c]), row == c) for c in columns] for row in rows]
    read = None if memory is None else jnp.concatenate([visible(queries[row], memory, False) for row in rows], axis=1)
    return Masks(jnp.concatenate([seen[c] for c in columns], axis=2), jnp.asarray(np.block(same)), read)
