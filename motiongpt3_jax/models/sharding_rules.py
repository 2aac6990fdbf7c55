"""Sharding rules of the parameters of a decoder or of a T5, for systems that have one."""

from collections.abc import Sequence

from jax.sharding import PartitionSpec as P

DECODER_RULES: Sequence[tuple[str, P]] = (
    # Layers are stacked: axis 0 is the layer, which a scan walks and nothing splits.
    (r"layers/.*/[qkv]/kernel", P(None, "fsdp", "tensor", None)),
    (r"layers/.*/o/kernel", P(None, "tensor", None, "fsdp")),
    (r"layers/.*/(gate|up)/kernel", P(None, "fsdp", "tensor")),
    (r"layers/.*/down/kernel", P(None, "tensor", "fsdp")),
    # Factors of LoRA adapters lie as the axes do that they share with their kernels.
    (r"layers/.*/[qkv]/lora/[^/]+/b", P(None, None, "tensor", None)),
    (r"layers/.*/o/lora/[^/]+/a", P(None, "tensor", None, None)),
    (r"layers/.*/down/lora/[^/]+/a", P(None, "tensor", None)),
    (r"layers/.*/(gate|up)/lora/[^/]+/b", P(None, None, "tensor")),
    (r"layers/.*/lora/[^/]+/a", P(None, "fsdp", None)),
    (r"layers/.*/lora/[^/]+/b", P(None, None, "fsdp")),
    (r"vocabulary/(.*/)?(table|head)", P("tensor", "fsdp")),
)
"""Sharding of `models.Decoder`, `models.T5` and `models.Vocabulary`: heads and hidden units over `tensor`, widths over
`fsdp`."""
