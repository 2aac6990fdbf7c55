"""Flash attention of packed rows: splash attention on TPUs, cuDNN's on GPUs; no scores lie in memory (2205.14135).

Splash attention computes its mask from the places of keys and one number for each query, and no slot is moved. In each
stream the slots of a sequence lie in the order of their positions, so a query sees those of its segment up to some slot
of each stream; these ends are packed into its number. cuDNN takes the mask as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.experimental.pallas.ops.tpu import splash_attention as splash
from jaxtyping import Array, Bool, Float, Int

from motiongpt3_jax.models.remat import ATTENTION

if TYPE_CHECKING:
    from motiongpt3_jax.models.decoder_config import DecoderConfig

KERNELS = ("reference", "splash", "cudnn")
"""Attention of a decoder's layers by name: products and a softmax of XLA's, or a kernel."""

AUTO = "auto"
"""In configs: a kernel where the devices have one, else the reference."""

LANES = 128
"""Slots of a block are a multiple of this."""

LARGEST_BLOCK = 768
"""Slots of a block at most: some of its float32 scores must fit into a TPU's vector memory at once."""

NO_SEGMENT = -1
"""Of a key that no query sees."""


Heads = Float[Array, "batch heads slots head_width"]


def kernel_name(name: str) -> str:
    """The attention of a config; where nothing has chosen for the devices, `AUTO` is the reference."""
    return "reference" if name == AUTO else name


class Segments(NamedTuple):
    """Which slots of all streams may see each other, by equal numbers.

    Attributes:
      queries, keys: of each slot as a query and as a key; the latter is `NO_SEGMENT` where it may be none.
    """

    queries: Int[Array, "batch slots"]
    keys: Int[Array, "batch slots"]


@dataclass(frozen=True)
class KeyRanges:
    """Packs into one number where the keys of its segment that a query sees begin and end in each stream.

    Attributes:
      slots: of each stream; the streams lie one behind the other.
      windows: whether they begin elsewhere than with the segment's first key.
    """

    slots: tuple[int, ...]
    windows: bool

    @property
    def fit(self) -> bool:
        """Whether a number of 31 bits holds them."""
        return sum(bits * (1 + self.windows) for _, _, bits in self._streams()) <= 31

    def pack(self, seen: Bool[Array, "batch slots slots"]) -> Int[Array, "batch slots"]:
        """The number of each query that sees these keys."""
        packed = jnp.zeros(seen.shape[:2], jnp.int32)
        for start, count, bits in self._streams():
            keys, numbers = seen[:, :, start : start + count], jnp.arange(count, dtype=jnp.int32)
            if self.windows:
                packed = packed << bits | jnp.where(keys, numbers, count).min(axis=2, initial=count)
            packed = packed << bits | jnp.where(keys, numbers + 1, 0).max(axis=2, initial=0)
        return packed

    def unpack(self, packed: Array, keys: Array) -> Array:
        """Whether queries with these numbers may see keys of their segment; runs within a kernel."""
        visible = keys < 0
        for start, _, bits in reversed(list(self._streams())):
            numbers, most = keys - start, (1 << bits) - 1
            ends, packed = packed & most, packed >> bits
            first = 0
            if self.windows:
                first, packed = packed & most, packed >> bits
            visible = visible | (numbers >= first) & (numbers < ends)
        return visible

    def _streams(self) -> Iterator[tuple[int, int, int]]:
        """Of each stream: its first slot, how many it has, and the bits that hold their number."""
        start = 0
        for count in self.slots:
            yield start, count, count.bit_length()
            start += count


class StreamsMask(splash.Mask):
    """What splash attention knows of a mask when it is compiled: causality within each stream.

    Attributes:
      q_sequence: the queries' numbers, in whose place those of a batch are put.
      mask_function: of numbers of queries and of keys.
    """

    def __init__(self, ranges: KeyRanges):
        slots = sum(ranges.slots)
        # The last stream has what fills up the last block: a query must be in some block that runs.
        streams = np.pad(np.repeat(np.arange(len(ranges.slots)), ranges.slots), (0, -slots % LANES), mode="edge")
        self.q_sequence = np.arange(len(streams), dtype=np.int32)
        self.mask_function = ranges.unpack
        past = self.q_sequence[:, None] >= self.q_sequence
        self._maybe = past | (streams[:, None] != streams)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._maybe.shape

    def __getitem__(self, index: tuple[slice, ...]) -> Bool[np.ndarray, "queries keys"]:
        return self._maybe[index]


_mask = cache(StreamsMask)
"""Equal ranges have the same mask: kernels are compiled for its identity."""


def splash_attention(
    queries: Heads,
    keys: Float[Array, "batch kv_heads slots head_width"],
    values: Float[Array, "batch kv_heads slots head_width"],
    numbers: Int[Array, "batch slots"],
    query_segments: Int[Array, "batch slots"],
    key_segments: Int[Array, "batch slots"],
    *,
    ranges: KeyRanges,
    scale: float = 1.0,
    cap: float | None = None,
) -> Float[Array, "batch heads places head_width"]:
    """Attention within segments by JAX's splash attention for TPUs; keeps `remat.ATTENTION` for the backward pass.

    Args:
      queries, keys, values: of the slots of all streams; the first have a multiple of the heads of the others.
      numbers: what `ranges` packs.
      query_segments, key_segments: see `Segments`.
      ranges: which keys are seen.
      scale: factor of the scores.
      cap: their soft cap; None for none.

    Returns:
      What each slot reads; behind the slots come the places that fill up the last block.
    """
    heads, slots = queries.shape[1:3]
    mask = _mask(ranges)
    places = mask.shape[0]
    block = max(size for size in range(LANES, min(places, LARGEST_BLOCK) + 1, LANES) if places % size == 0)
    names = ("q", "kv", "kv_compute", "q_dkv", "kv_dkv", "kv_dkv_compute")
    # A TPU pads the last axis to 128: that of heads is narrower, and lies before the slots.
    layout = dict.fromkeys(("q_layout", "k_layout", "v_layout"), splash.QKVLayout.SEQ_MINOR)
    sizes = splash.BlockSizes(**{f"block_{name}": block for name in names}, use_fused_bwd_kernel=True, **layout)
    kernel = splash.make_splash_mha_single_device(
        splash.MultiHeadMask([mask] * heads),
        block_sizes=sizes,
        attn_logits_soft_cap=cap,
        residual_checkpoint_name=ATTENTION,
    )

    def attend(numbers: Int[Array, "places"], segments: splash.SegmentIds, *of_heads: Array) -> Array:
        infos = (kernel.fwd_mask_info, kernel.dq_mask_info, kernel.dkv_mask_info)
        infos = (info and info._replace(q_sequence=numbers) for info in infos)
        return type(kernel)(*infos, **kernel.kwargs)(*of_heads, segment_ids=segments)

    none, more = (0, 0), (0, places - slots)
    numbers, query_segments = (jnp.pad(x, (none, more)) for x in (numbers, query_segments))
    key_segments = jnp.pad(key_segments, (none, more), constant_values=NO_SEGMENT)
    of_heads = [jnp.pad(x, (none, none, more, none)) for x in (queries * scale, keys, values)]
    of_heads = checkpoint_name(of_heads, ATTENTION)
    return jax.vmap(attend)(numbers, splash.SegmentIds(query_segments, key_segments), *of_heads)


CUDNN_WIDTH = 128
"""Width of the widest heads that cuDNN's kernels take on every GPU."""


def cudnn_takes(config: "DecoderConfig") -> bool:
    """Whether cuDNN's kernels compute a decoder's attention: they cap no scores, and wide heads on some GPUs alone."""
    return config.flavour.attention_cap is None and config.head_width <= CUDNN_WIDTH


def cudnn_attention(
    queries: Heads,
    keys: Float[Array, "batch kv_heads keys head_width"],
    values: Float[Array, "batch kv_heads keys head_width"],
    seen: Bool[Array, "batch queries keys"],
    scale: float,
) -> Float[Array, "batch queries heads head_width"]:
    """Attention under any mask, by cuDNN's flash attention for GPUs, in bfloat16 or float16."""
    queries, keys, values = (jnp.swapaxes(x, 1, 2) for x in (queries, keys, values))
    return jax.nn.dot_product_attention(queries, keys, values, mask=seen[:, None], scale=scale, implementation="cudnn")
