"""T5 v1.1, as FLAN-T5 has it: an encoder-decoder of the streams `source` and `target` (arXiv 1910.10683, 2002.05202).

Both halves are a `Decoder` with T5's blocks. Parameters: encoder/layers/source/... and decoder/layers/target/...,
stacked; relative/table and final_norm/... of each half. Embeddings and logits are a `Vocabulary`'s that is not tied.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from motiongpt3_jax.models.constrain import Constrain, unconstrained
from motiongpt3_jax.models.decoder import Decoder
from motiongpt3_jax.models.decoder_config import DecoderConfig, StreamConfig
from motiongpt3_jax.models.decoding import cross_cache, decode_step, unstack_layers
from motiongpt3_jax.models.flavour import T5 as FLAVOUR
from motiongpt3_jax.models.flavour import BlockFlavour
from motiongpt3_jax.models.lora import NO_ADAPTERS, Adapters
from motiongpt3_jax.models.streams import KVCache, Stream

SOURCE, TARGET = "source", "target"


@dataclass(frozen=True)
class T5Config:
    """Sizes and options of a T5.

    Attributes:
      width: of the hidden states.
      layers: of the encoder.
      decoder_layers: of the decoder.
      heads, head_width: of all attentions.
      mlp_width: of the hidden layers.
      buckets, max_distance: of relative positions.
      eps: of the norms.
      dropout: of embeddings, residual branches, hidden layers and what leaves the final norms.
      attention_dropout: of attention weights.
      scan: whether layers run in one compiled loop; never changes parameters.
      remat: what layers keep for the backward pass, see `models.remat.POLICIES`; never changes parameters.
      dtype: of the computation; parameters are float32, softmax and norms too.
      adapters: LoRA adapters of both halves, and which is used.
    """

    width: int
    layers: int
    decoder_layers: int
    heads: int
    head_width: int
    mlp_width: int
    buckets: int = 32
    max_distance: int = 128
    eps: float = 1e-6
    dropout: float = 0.1
    attention_dropout: float = 0.0
    scan: bool = True
    remat: str = "none"
    dtype: str = "float32"
    adapters: Adapters = NO_ADAPTERS

    @property
    def flavour(self) -> BlockFlavour:
        """Of the blocks of both halves."""
        return replace(FLAVOUR, buckets=self.buckets, max_distance=self.max_distance)

    @property
    def encoder(self) -> DecoderConfig:
        """Of the half that reads the source."""
        return self._half(SOURCE, self.layers, causal=False)

    @property
    def decoder(self) -> DecoderConfig:
        """Of the half that writes the target."""
        return self._half(TARGET, self.decoder_layers, cross=True)

    def _half(self, stream: str, layers: int, **options: bool) -> DecoderConfig:
        return DecoderConfig(
            streams=(StreamConfig(stream, self.width, self.mlp_width),),
            layers=layers,
            heads=self.heads,
            head_width=self.head_width,
            max_positions=0,
            shared=(True,) * layers,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            attention="reference",
            scan=self.scan,
            remat=self.remat,
            dtype=self.dtype,
            eps=self.eps,
            flavour=self.flavour,
            adapters=self.adapters,
            **options,
        )


FLAN_T5: Mapping[str, T5Config] = {
    "small": T5Config(512, 8, 8, 6, 64, 1024),
    "base": T5Config(768, 12, 12, 12, 64, 2048),
    "large": T5Config(1024, 24, 24, 16, 64, 2816),
}
"""Sizes of the published FLAN-T5 models (arXiv 2210.11416)."""


class T5(nn.Module):
    """The encoder-decoder.

    Attributes:
      config: sizes and options.
      constrain: where a mesh may pin activations.
    """

    config: T5Config
    constrain: Constrain = unconstrained

    def setup(self) -> None:
        self.encoder = Decoder(self.config.encoder, self.constrain)
        self.decoder = Decoder(self.config.decoder, self.constrain)

    def __call__(self, source: Stream, target: Stream, deterministic: bool = True) -> Float[Array, "batch slots width"]:
        """Hidden states of the target after the final norm.

        Args:
          source: what is read.
          target: what is written, each slot with the embedding of the id before it; a segment reads the source's
            segment of its number.
          deterministic: no dropout.
        """
        return self.decode(target, self.encode(source, deterministic), deterministic)

    def encode(self, source: Stream, deterministic: bool = True) -> Stream:
        """The source with the encoder's hidden states: the memory that a decoder cross-attends to."""
        hidden = self.encoder({SOURCE: source}, deterministic=deterministic)
        return source.replace(embeddings=hidden[SOURCE])

    def decode(self, target: Stream, memory: Stream, deterministic: bool = True) -> Float[Array, "batch slots width"]:
        """Hidden states of the target over what the encoder left."""
        return self.decoder({TARGET: target}, memory=memory, deterministic=deterministic)[TARGET]


def unstack_t5(params: Any) -> Any:
    """A T5's parameters with lists of layers instead of stacks, see `unstack_layers`."""
    return {**params, **{half: unstack_layers(params[half]) for half in ("encoder", "decoder")}}


def prefill_t5(
    module: T5, params: Any, source: Stream, target: Stream
) -> tuple[Float[Array, "batch slots width"], dict[str, KVCache], KVCache]:
    """Runs a source and what the target begins with, for decode steps to follow.

    Args:
      module: the T5.
      params: its parameters, stacked or unstacked.
      source: what is read.
      target: what each target begins with: the start id, or ids that are forced.

    Returns:
      (hidden states of the target's slots, its KV cache, keys and values of the memory).
    """
    params = unstack_t5(params)
    halves = {half: Decoder(getattr(module.config, half), module.constrain) for half in ("encoder", "decoder")}
    hidden, _ = decode_step(halves["encoder"], params["encoder"], {SOURCE: source})
    memory = cross_cache(halves["decoder"], params["decoder"], source.replace(embeddings=hidden[SOURCE]))
    hidden, cache = decode_step(halves["decoder"], params["decoder"], {TARGET: target}, memory=memory)
    return hidden[TARGET], cache, memory


def decode_step_t5(
    module: T5, params: Any, target: Stream, cache: Mapping[str, KVCache], memory: KVCache, index: Any, only: Any = None
) -> tuple[Float[Array, "batch slots width"], dict[str, KVCache]]:
    """Runs new slots of targets: (their hidden states, the KV cache with them written), see `decode_step`."""
    decoder = Decoder(module.config.decoder, module.constrain)
    only = None if only is None else {TARGET: only}
    hidden, cache = decode_step(decoder, params["decoder"], {TARGET: target}, cache, index, only, memory)
    return hidden[TARGET], cache
