"""Flash attention of packed rows: splash attention on TPUs, cuDNN's on GPUs; no scores lie in memory (2205.14135).

Splash attention knows causality by index alone, so it reads slots in (segment, position) order, which `slot_order`
finds once a batch. cuDNN takes the mask as it is.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu import splash_attention as splash
from jaxtyping import Array, Bool, Float, Int

if TYPE_CHECKING:
    from motiongpt3_jax.models.decoder_config import DecoderConfig

KERNELS = ("reference", "splash", "cudnn")
"""Attention of a decoder's layers by name: products and a softmax of XLA's, or a kernel."""

AUTO = "auto"
"""In configs: a kernel where the devices have one, else the reference."""

LANES = 128
"""Places of a block are a multiple of this."""

LARGEST_BLOCK = 512
"""Places of a block at most."""

NO_SEGMENT = -1
"""Of a key that no query sees."""


Heads = Float[Array, "batch heads slots head_width"]


def kernel_name(name: str) -> str:
    """The attention of a config; where nothing has chosen for the devices, `AUTO` is the reference."""
    return "reference" if name == AUTO else name


class Segments(NamedTuple):
    """Which places see each other, by equal numbers.

    Attributes:
      queries, keys: of each place as a query and as a key; the latter is `NO_SEGMENT` where it may be none.
    """

    queries: Int[Array, "batch places"]
    keys: Int[Array, "batch places"]


class SlotOrder(NamedTuple):
    """Slots of packed rows in (segment, position) order, behind them as many empty places as fill whole blocks.

    Attributes:
      slots: the slot at each place; past the last slot where a place is empty.
      places: the place of each slot.
      together: segments where streams see each other.
      apart: segments where they do not.
    """

    slots: Int[Array, "batch places"]
    places: Int[Array, "batch slots"]
    together: Segments
    apart: Segments


def slot_order(
    segments: Int[Array, "batch slots"],
    positions: Int[Array, "batch slots"],
    attended: Bool[Array, "batch slots"],
    streams: Int[np.ndarray, "slots"],
) -> SlotOrder:
    """The order in which splash attention reads slots.

    Args:
      segments, positions, attended: of the slots of all streams, see `models.streams.Stream`. Each sequence must begin
        with an attended slot, in each stream where streams do not see each other.
      streams: the number of each slot's stream.
    """
    slots = jnp.lexsort((positions, segments), axis=-1)
    places = jnp.argsort(slots, axis=-1)
    slots = jnp.pad(slots, ((0, 0), (0, -slots.shape[1] % LANES)), constant_values=slots.shape[1])

    def numbered(numbers: Int[Array, "batch slots"]) -> Segments:
        # Padding sees padding: a row of scores must not be empty.
        keys = jnp.where(attended | (segments == 0), numbers, NO_SEGMENT)
        return Segments(*(jnp.take_along_axis(x, slots, axis=1, mode="fill", fill_value=0) for x in (numbers, keys)))

    return SlotOrder(slots, places, numbered(segments), numbered(segments * (streams.max() + 1) + streams))


def splash_attention(
    queries: Heads,
    keys: Heads,
    values: Heads,
    slots: Int[Array, "batch places"],
    places: Int[Array, "batch slots"],
    query_segments: Int[Array, "batch places"],
    key_segments: Int[Array, "batch places"],
    scale: float = 1.0,
    cap: float | None = None,
    window: int | None = None,
) -> Heads:
    """Causal attention within segments, by JAX's splash attention for TPUs.

    Args:
      queries, keys, values: of the slots of all streams, with as many heads each.
      slots, places: see `SlotOrder`.
      query_segments, key_segments: see `Segments`.
      scale: factor of the scores.
      cap: their soft cap; None for none.
      window: places that a query sees, its own and those before; None for all. Places are counted, so the positions of
        a sequence must follow one another, and one of its window must be attended.
    """
    kernel = _kernel(queries.shape[1], slots.shape[1], cap, window)
    moved = [move_slots(x, slots, places) for x in (queries * scale, keys, values)]
    mixed = jax.vmap(kernel)(*moved, segment_ids=splash.SegmentIds(query_segments, key_segments))
    return move_slots(mixed, places, slots)


def _kernel(
    heads: int, places: int, cap: float | None, window: int | None
) -> Callable[..., Float[Array, "heads places head_width"]]:
    """The kernel for causal attention of so many places."""
    block = max(size for size in range(LANES, min(places, LARGEST_BLOCK) + 1, LANES) if places % size == 0)
    names = ("q", "kv", "kv_compute", "q_dkv", "kv_dkv", "kv_dkv_compute", "q_dq", "kv_dq")
    sizes = splash.BlockSizes(**{f"block_{name}": block for name in names})
    shape = (places, places)
    whole = window is None or window >= places
    mask = splash.CausalMask(shape) if whole else splash.LocalMask(shape, (window - 1, 0), 0)
    masks = splash.MultiHeadMask([mask] * heads)
    return splash.make_splash_mha_single_device(masks, block_sizes=sizes, attn_logits_soft_cap=cap)


@jax.custom_vjp
def move_slots(x: Heads, source: Int[Array, "batch new"], back: Int[Array, "batch slots"]) -> Heads:
    """Slots in another order, and their gradients by the inverse order: a gather too, where XLA would scatter.

    Args:
      x: what slots hold.
      source: the slot that goes to each place; past the last one for zeros.
      back: the place to which each slot goes.
    """
    return _gather(x, source)


def _gather(x: Heads, source: Int[Array, "batch new"]) -> Heads:
    batch, heads, slots, width = x.shape
    # Heads side by side: a TPU pads arrays whose last axes are heads and their width, and would move the padding too.
    joined = jnp.swapaxes(x, 1, 2).reshape(batch, slots, heads * width)
    moved = jax.vmap(partial(jnp.take, axis=0, mode="fill", fill_value=0))(joined, source)
    return jnp.swapaxes(moved.reshape(batch, -1, heads, width), 1, 2)


def _move_forward(x: Array, source: Array, back: Array) -> tuple[Array, tuple[Array, Array]]:
    return _gather(x, source), (source, back)


def _move_backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, np.ndarray, np.ndarray]:
    source, back = kept
    nothing = (np.zeros(x.shape, jax.dtypes.float0) for x in (source, back))
    return _gather(gradient, back), *nothing


move_slots.defvjp(_move_forward, _move_backward)


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
