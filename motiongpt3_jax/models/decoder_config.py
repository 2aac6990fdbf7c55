"""Sizes and options of a decoder: its streams, layers, heads, and the flavour of its blocks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.attention_kernels import KERNELS
from motiongpt3_jax.models.dense import flat_product, kernel_first_product, trailing_product
from motiongpt3_jax.models.flavour import GPT2, BlockFlavour
from motiongpt3_jax.models.lora import NO_ADAPTERS, Adapters


@dataclass(frozen=True)
class StreamConfig:
    """Sizes of one stream.

    Attributes:
      name: as in the dictionaries of streams.
      width: of its hidden states.
      mlp_width: of its hidden layer.
      weights: name of the stream whose weights it uses, of the same widths; its own where None.
    """

    name: str
    width: int
    mlp_width: int
    weights: str | None = None

    @property
    def owner(self) -> str:
        """Name of the stream whose weights it uses."""
        return self.weights or self.name


WITHOUT_WINDOW = np.iinfo(np.int32).max
"""The window of a layer that sees all that came before, where others see less."""


class LayerValues(NamedTuple):
    """What layers differ in beside their parameters: data of a scan over layers.

    Attributes:
      shared: whether streams see each other.
      window: positions that a query sees, its own and those before it; None where every layer sees all of them.
      frequencies: of rotary positions; None where they are the same in every layer.
    """

    shared: Bool[np.ndarray | Array, "*layers"]
    window: Int[np.ndarray | Array, "*layers"] | None = None
    frequencies: Float[np.ndarray | Array, "*layers half"] | None = None

    def layer(self, number: int) -> "LayerValues":
        """Those of one layer."""
        return LayerValues(*(None if values is None else values[number] for values in self))


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes and options of a decoder.

    Attributes:
      streams: the streams; the first one's position table also serves streams of its width.
      layers, heads, head_width: the same for all streams.
      max_positions: rows of a position table.
      shared: per layer, whether streams see each other.
      windows: per layer, how many positions a query sees (sliding window), its own and those before it; None for all of
        them. Empty where no layer has a window.
      dropout: of embeddings and residual branches.
      attention_dropout: of attention weights; above 0, training takes the reference attention.
      attention: of whole rows, one of `attention_kernels.KERNELS`; never changes parameters. Decode steps, and scores
        with a bias, take the reference; so does what cuDNN has no kernel for, see `attention_kernels.cudnn_takes`.
      scan: whether layers run in one compiled loop; never changes parameters.
      remat: what layers keep for the backward pass, see `models.remat.POLICIES`; never changes parameters.
      dtype: of the computation; parameters are float32, softmax and norms too.
      eps: of the norms.
      flavour: norm, MLP, biases, positions and head grouping of the blocks.
      causal: whether a slot sees what came before it alone; an encoder's does not.
      cross: whether layers cross-attend to a memory, between attention and MLP.
      kernel_first: whether kernels lie transposed in memory, as decode steps read them; never changes parameters.
      trailing: whether most slots have no gradient, and those that do come last; never changes results.
      adapters: LoRA adapters of the projections, and which is used.
    """

    streams: tuple[StreamConfig, ...]
    layers: int
    heads: int
    head_width: int
    max_positions: int
    shared: tuple[bool, ...]
    dropout: float
    attention_dropout: float
    attention: str
    scan: bool
    remat: str
    dtype: str
    eps: float = 1e-5
    flavour: BlockFlavour = GPT2
    causal: bool = True
    cross: bool = False
    kernel_first: bool = False
    trailing: bool = False
    windows: tuple[int | None, ...] = ()
    adapters: Adapters = NO_ADAPTERS

    @property
    def layer_values(self) -> LayerValues:
        """What layers differ in, stacked."""
        windows = frequencies = None
        if any(self.windows):
            windows = np.array([window or WITHOUT_WINDOW for window in self.windows], np.int32)
        if any(self.windows) and self.flavour.local_rotary is not None:
            rotary = [self.flavour.local_rotary if window else self.flavour.rotary for window in self.windows]
            frequencies = np.stack([each.frequencies(self.head_width) for each in rotary])
        return LayerValues(np.array(self.shared), windows, frequencies)

    @property
    def product(self) -> Callable[[Array, Array], Array]:
        """Multiplies inputs with the kernel of a dense layer."""
        if self.trailing:
            return trailing_product
        return kernel_first_product if self.kernel_first else flat_product

    @property
    def embedding_scale(self) -> float:
        """Factor of the vectors of the first stream's ids, for `Vocabulary.scale`."""
        return self.streams[0].width ** 0.5 if self.flavour.scale_embeddings else 1.0

    @property
    def score_scale(self) -> float:
        """Factor of the attention scores."""
        return (self.flavour.query_pre_attn_scalar or self.head_width) ** -0.5 if self.flavour.scaled else 1.0

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.heads if self.flavour.kv_heads is None else self.flavour.kv_heads

    def __post_init__(self) -> None:
        if self.attention not in KERNELS:
            raise UserError(f"attention of a decoder is {self.attention!r}: choose {' or '.join(KERNELS)}")
        if self.attention == "cudnn" and self.dtype == "float32":
            raise UserError('cuDNN\'s attention computes in half precision: take dtype "bfloat16", or attention "auto"')
        if self.attention == "splash" and (self.cross or not self.causal or self.flavour.positions == "relative"):
            raise UserError("splash attention is for causal decoders without memory and bias; take reference")
        if self.kv_heads < 1 or self.heads % self.kv_heads:
            raise UserError(f"{self.heads} heads do not share {self.kv_heads} heads of keys and values; take a divisor")
        if self.flavour.positions == "rotary" and self.head_width % 2:
            raise UserError(f"rotary positions rotate pairs of channels; {self.head_width} channels a head are odd")
        if len(self.shared) != self.layers:
            raise UserError(
                f"{len(self.shared)} entries say which of {self.layers} layers share attention; give one each"
            )
        if self.windows and len(self.windows) != self.layers:
            raise UserError(f"{len(self.windows)} windows are given for {self.layers} layers; give one each, or none")
        if min(filter(lambda window: window is not None, self.windows), default=1) < 1:
            raise UserError(f"windows of layers are {self.windows}; a query sees itself, so each is 1 at least")
        if any(self.windows) and not self.causal:
            raise UserError("windows reach back alone, and this decoder is not causal: give it none")
        names = [stream.name for stream in self.streams]
        if len(set(names)) != len(names) or not names:
            raise UserError(f"the decoder's streams are named {names}; give at least one, each another name")
        sizes = {stream.name: (stream.width, stream.mlp_width) for stream in self.streams if not stream.weights}
        for stream in self.streams:
            if sizes.get(stream.owner) != (stream.width, stream.mlp_width):
                raise UserError(f"stream {stream.name!r} uses the weights of {stream.owner!r}: give it the same widths")
