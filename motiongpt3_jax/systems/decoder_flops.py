"""FLOPs of a decoder's matrix products: kernels, LoRA factors, and attention over the slots that a query sees."""

from collections import Counter
from collections.abc import Collection, Mapping

from motiongpt3_jax.models import DecoderConfig, StreamConfig
from motiongpt3_jax.models.lora import LORA, Adapters

TRAINED = 3
"""A trained product is taken once forward, and twice backward."""

FROZEN = 2
"""A product with a frozen kernel that a gradient passes: once forward, and once back to its input."""

Shape = tuple[int, int]


def projection_shapes(config: DecoderConfig, stream: StreamConfig) -> Mapping[str, Shape]:
    """(inputs, outputs) of a stream's projections in a layer, by their names; cross-attention's are those of q to o."""
    width, head = stream.width, config.head_width
    queries, keys = (width, config.heads * head), (width, config.kv_heads * head)
    up, down = (width, stream.mlp_width), (stream.mlp_width, width)
    gate = {"gate": up} if config.flavour.gated else {}
    return {"q": queries, "k": keys, "v": keys, "o": queries[::-1], "up": up, "down": down, **gate}


def kernel_values(config: DecoderConfig) -> list[int]:
    """Values of the kernels of a layer that a slot of each stream is multiplied with."""
    return [sum(i * o for i, o in projection_shapes(config, stream).values()) for stream in config.streams]


def factor_values(config: DecoderConfig, stream: StreamConfig, within: str = "", names: Collection[str] = ()) -> int:
    """Values of the factors of the LoRA adapter in use, in a layer, that a slot of a stream is multiplied with.

    Args:
      config: which adapter is used.
      stream: the stream.
      within: what names of projections begin with: "cross/" for those of a cross-attention.
      names: the projections; all of the stream's where empty.
    """
    adapters, total = config.adapters, 0
    if adapters.used is None:
        return 0
    adapter = adapters.named(adapters.used)
    for name, (inputs, outputs) in projection_shapes(config, stream).items():
        if (not names or name in names) and adapter.adapts(f"{stream.owner}/{within}{name}"):
            total += adapter.rank * (inputs + outputs)
    return total


def adapter_trains(adapters: Adapters, frozen: Collection[str]) -> bool:
    """Whether the adapter in use has gradients; with none in use, or where it is frozen, it has not."""
    ending = f"/{LORA}/{adapters.used}/"
    return adapters.used is not None and not any(ending in path for path in frozen)


def kinds_of_layers(config: DecoderConfig) -> Counter[tuple[bool, int | None]]:
    """How many layers there are of each (whether streams see each other, window)."""
    return Counter(zip(config.shared, config.windows or [None] * config.layers, strict=True))


def seen_pairs(slots: int, window: int | None) -> int:
    """Twice the queries and keys of a sequence that see each other: all before, or as many as a window holds."""
    return slots**2 - max(slots - (window or slots), 0) ** 2
