"""One stream's part of a Transformer layer: norms, projections to heads, cross-attention's projections, MLP."""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
from jaxtyping import Array, Float, Int

from motiongpt3_jax.models.constrain import Constrain, unconstrained
from motiongpt3_jax.models.decoder_config import DecoderConfig, StreamConfig
from motiongpt3_jax.models.dense import Dense
from motiongpt3_jax.models.dense_heads import DenseFromHeads, HeadWeights, dense_to_heads
from motiongpt3_jax.models.dropout import Dropout
from motiongpt3_jax.models.flavour import ACTIVATIONS, rotate
from motiongpt3_jax.models.lora import Adapters
from motiongpt3_jax.models.remat import recomputed_in_scan

Heads = Float[Array, "batch heads slots head_width"]
KeyValues = tuple[Heads, Heads]

PROJECTIONS = ("q", "k", "v", "o", "gate", "up", "down")
"""Projections of a stream's part of a layer, cross-attention's left out."""

INIT = 0.02
"""Deviation of fresh kernels and position tables, as GPT-2 has it."""


def whole_heads() -> bool:
    """Whether no mesh splits heads; then projections can be one product."""
    return jax.sharding.get_abstract_mesh().shape.get("tensor", 1) == 1


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


def adapters_of(config: DecoderConfig, stream: StreamConfig, projection: str) -> Adapters:
    """The adapters of one projection of a stream."""
    return config.adapters.of(f"{stream.owner}/{projection}")


def project_to_heads(
    x: Float[Array, "batch slots width"],
    projections: Sequence[HeadWeights],
    config: DecoderConfig,
    constrain: Constrain,
    deterministic: bool,
) -> Sequence[Heads]:
    """Query, key and value projections of one input that have as many heads."""
    weights = [projection(x.shape[-1], deterministic) for projection in projections]
    return dense_to_heads(x, weights, config.dtype, whole_heads(), config.product, constrain)


class CrossAttention(nn.Module):
    """Projections of a cross-attention to a memory of the stream's width."""

    stream: StreamConfig
    config: DecoderConfig
    constrain: Constrain = unconstrained

    def setup(self) -> None:
        config, biases, init = self.config, self.config.flavour.biases, kernel_inits(self.stream, self.config)
        adapters = {name: adapters_of(config, self.stream, f"cross/{name}") for name in "qkvo"}
        self.q = HeadWeights(config.heads, config.head_width, init["q"], biases, adapters["q"])
        self.k, self.v = (
            HeadWeights(config.kv_heads, config.head_width, init["k"], biases, adapters[name]) for name in "kv"
        )
        self.o = DenseFromHeads(
            self.stream.width, config.dtype, init["o"], biases, config.product, self.constrain, adapters["o"]
        )

    def query(self, x: Float[Array, "batch slots width"], deterministic: bool = True) -> Heads:
        """Queries of normalised hidden states."""
        return project_to_heads(x, [self.q], self.config, self.constrain, deterministic)[0]

    def keys_values(self, memory: Float[Array, "batch slots width"], deterministic: bool = True) -> KeyValues:
        """Keys and values of a memory."""
        key, value = project_to_heads(memory, [self.k, self.v], self.config, self.constrain, deterministic)
        return key, value


class StreamBlock(nn.Module):
    """One stream's part of a layer: what comes before the attention, and what comes after it."""

    stream: StreamConfig
    config: DecoderConfig
    constrain: Constrain = unconstrained

    def setup(self) -> None:
        config, flavour, init = self.config, self.config.flavour, kernel_inits(self.stream, self.config)
        dense = {
            "dtype": config.dtype,
            "use_bias": flavour.biases,
            "product": config.product,
            "constrain": self.constrain,
        }
        biases, norm = flavour.biases or flavour.qkv_biases, partial(flavour.make_norm, config.eps, None, config.scan)
        self.attention_norm, self.mlp_norm = norm(), norm()
        if flavour.post_norms:
            self.post_attention_norm, self.post_mlp_norm = norm(), norm()
        if flavour.qk_norms:
            self.q_norm, self.k_norm = norm(), norm()
        adapters = {name: adapters_of(config, self.stream, name) for name in PROJECTIONS}
        self.q = HeadWeights(config.heads, config.head_width, init["q"], biases, adapters["q"])
        self.k, self.v = (
            HeadWeights(config.kv_heads, config.head_width, init["k"], biases, adapters[name]) for name in "kv"
        )
        self.o = DenseFromHeads(self.stream.width, kernel_init=init["o"], adapters=adapters["o"], **dense)
        if config.cross:
            self.cross_norm = norm()
            self.cross = CrossAttention(self.stream, config, self.constrain)
        if flavour.gated:
            self.gate = Dense(
                self.stream.mlp_width, kernel_init=init["up"], pin="mlp", adapters=adapters["gate"], **dense
            )
        self.up = Dense(self.stream.mlp_width, kernel_init=init["up"], pin="mlp", adapters=adapters["up"], **dense)
        self.down = Dense(self.stream.width, kernel_init=init["down"], pin="joined", adapters=adapters["down"], **dense)
        self.dropout = Dropout(config.dropout)

    def project(
        self,
        x: Float[Array, "batch slots width"],
        positions: Int[Array, "batch slots"],
        frequencies: Float[Array, "half"] | None = None,
        deterministic: bool = True,
    ) -> tuple[Heads, Heads, Heads]:
        """Queries, keys and values; rotary positions have the layer's frequencies, or those of all layers."""
        config, options = self.config, (self.config, self.constrain, deterministic)
        normed = self.attention_norm(x)
        if config.kv_heads == config.heads:
            query, key, value = project_to_heads(normed, [self.q, self.k, self.v], *options)
        else:
            (query,) = project_to_heads(normed, [self.q], *options)
            key, value = project_to_heads(normed, [self.k, self.v], *options)
        if config.flavour.qk_norms:
            query, key = (norm(x).astype(x.dtype) for norm, x in ((self.q_norm, query), (self.k_norm, key)))
        if config.flavour.positions == "rotary":
            if frequencies is None:
                frequencies = config.flavour.rotary.frequencies(config.head_width)
            query, key = (rotate(x, positions, frequencies) for x in (query, key))
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
        post_norms = self.config.flavour.post_norms
        branch = self.o(mixed, deterministic)
        if post_norms:
            branch = self.post_attention_norm(branch).astype(x.dtype)
        x = x + self.dropout(branch, deterministic=deterministic)
        if self.config.cross:
            mixed = read(self.cross.query(self.cross_norm(x), deterministic))
            x = x + self.dropout(self.cross.o(mixed, deterministic), deterministic=deterministic)
        normed = self.mlp_norm(x)
        gate = self.gate(normed, deterministic) if self.config.flavour.gated else None
        down = recomputed_in_scan(StreamBlock._down, self.config.scan, static=(3,))
        branch = down(self, self.up(normed, deterministic), gate, deterministic)
        if post_norms:
            branch = self.post_mlp_norm(branch).astype(x.dtype)
        x = x + self.dropout(branch, deterministic=deterministic)
        return self.constrain("activation", x)

    def _down(
        self, up: Float[Array, "batch slots mlp"], gate: Float[Array, "batch slots mlp"] | None, deterministic: bool
    ) -> Float[Array, "batch slots width"]:
        """The second half of the MLP, from what comes out of its first products: all that is kept of it."""
        activate = ACTIVATIONS[self.config.flavour.activation]
        hidden = activate(up) if gate is None else activate(gate) * up
        if self.config.flavour.inner_dropout:
            hidden = self.dropout(hidden, deterministic=deterministic)
        return self.down(hidden, deterministic)
