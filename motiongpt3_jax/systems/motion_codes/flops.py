"""FLOPs of matrix products: what real tokens and frames need, padding left out."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from motiongpt3_jax.batch import Batch, Example, StreamSlots
from motiongpt3_jax.models import DecoderConfig, T5Config, VqVaeConfig
from motiongpt3_jax.systems.decoder_flops import (
    FROZEN,
    TRAINED,
    adapter_trains,
    factor_values,
    kernel_values,
    kinds_of_layers,
    seen_pairs,
)
from motiongpt3_jax.systems.motion_codes.config import CodeModelConfig
from motiongpt3_jax.systems.motion_codes.tokens import FRAMES_PER_CODE, codes_of


def lengths_of(slots: StreamSlots) -> list[int]:
    """Slots of each sample of a stream, row by row and segment by segment."""
    counts: list[int] = []
    for segments in np.asarray(slots.segments):
        counts += np.bincount(segments)[1:].tolist()
    return counts


def slots_of(question: Example, stream: str) -> int:
    """Slots of a question in a stream."""
    return len(question.streams[stream].ids)


def encode_flops(config: VqVaeConfig, frames: Sequence[int]) -> float:
    """Clips to codes: the encoder's convolutions, and the distances to the codebook."""
    return sum(_convolutions(config, codes_of(count)) + _distances(config, codes_of(count)) for count in frames)


def decode_flops(config: VqVaeConfig, codes: Sequence[int]) -> float:
    """Codes to frames: the decoder's convolutions."""
    return sum(_convolutions(config, count, decoder=True) for count in codes)


def _convolutions(config: VqVaeConfig, codes: int, decoder: bool = False) -> float:
    """Those of one side for a clip of so many codes."""
    width, total = config.width, 0.0
    frames = codes * FRAMES_PER_CODE
    for level in range(1, config.downsamples + 1):
        places = frames // 2**level
        # Each block has a convolution over 3 places and one over 1.
        total += config.depth * 4 * width * width * places
        total += 3 * width * width * 2 * places if decoder else 4 * width * width * places
    if decoder:
        total += 3 * config.code_width * width * codes
        total += 3 * width * width * frames + 3 * width * config.features * frames
    else:
        total += 3 * config.features * width * frames + 3 * width * config.code_width * codes
    return 2 * total


def _distances(config: VqVaeConfig, codes: int) -> float:
    return 2.0 * codes * config.code_width * config.codes


class Products(NamedTuple):
    """FLOPs of a language model's products, forward.

    Attributes:
      kernels: with kernels of projections.
      attention: of queries with keys, and of weights with values.
      factors: with factors of the LoRA adapter in use.
    """

    kernels: float
    attention: float
    factors: float


def t5_products(config: T5Config, sources: Sequence[int], targets: Sequence[int]) -> Products:
    """A T5 over pairs of a source and a target of so many tokens; a token of the target sees half of its own side."""
    encoder, decoder = config.encoder, config.decoder
    (source,), (target,) = encoder.streams, decoder.streams
    inner, read, written = config.heads * config.head_width, sum(sources), sum(targets)
    crossed = 2 * config.width * inner
    # Keys and values of the source belong to each layer of the decoder.
    pairs = [(2 * s * s, t * t + 2 * t * s) for s, t in zip(sources, targets, strict=True)]
    low = [factor_values(decoder, target, "cross/", names) for names in (("q", "o"), ("k", "v"))]
    return Products(
        2.0 * config.layers * read * kernel_values(encoder)[0]
        + 2.0 * config.decoder_layers * (written * (kernel_values(decoder)[0] + crossed) + read * crossed),
        2.0 * inner * sum(config.layers * one + config.decoder_layers * other for one, other in pairs),
        2.0 * config.layers * read * factor_values(encoder, source)
        + 2.0 * config.decoder_layers * (written * (factor_values(decoder, target) + low[0]) + read * low[1]),
    )


def decoder_products(config: DecoderConfig, lengths: Sequence[int]) -> Products:
    """A decoder alone over sequences of so many tokens; a token sees half of its sequence, or a window."""
    (stream,), tokens = config.streams, config.layers * sum(lengths)
    pairs = sum(
        layers * sum(seen_pairs(length, window) for length in lengths)
        for (_, window), layers in kinds_of_layers(config).items()
    )
    return Products(
        2.0 * tokens * kernel_values(config)[0],
        2.0 * config.heads * config.head_width * pairs,
        2.0 * tokens * factor_values(config, stream),
    )


def t5_flops(config: T5Config, ids: int, sources: Sequence[int], targets: Sequence[int]) -> float:
    """A T5 over pairs of a source and a target of so many tokens, with scores of `ids` ids behind each target token."""
    return sum(t5_products(config, sources, targets)) + 2.0 * sum(targets) * config.width * ids


def decoder_flops(config: DecoderConfig, ids: int, lengths: Sequence[int], written: Sequence[int]) -> float:
    """A decoder alone over sequences of so many tokens, with scores of `ids` ids behind the `written` ones."""
    return sum(decoder_products(config, lengths)) + 2.0 * sum(written) * config.streams[0].width * ids


def train_flops(
    config: CodeModelConfig, loss: str, batch: Batch, adapter: str = "", frozen: Collection[str] = ()
) -> float:
    """A training step on a batch.

    Args:
      config: the sizes.
      loss: "tokenizer" or "language".
      batch: in numpy.
      adapter: the LoRA adapter that the loss uses; empty for none.
      frozen: paths of parameters that do not train.
    """
    frames = [int(count) for count in np.ravel(batch.clip_frames) if count]
    encode = encode_flops(config.vqvae, frames) if batch.clips else 0.0
    if loss == "tokenizer":
        return TRAINED * (encode + decode_flops(config.vqvae, [codes_of(count) for count in frames]))
    config = config.using(adapter)
    products, written, width = language_products(config, batch)
    kernels = any(path.startswith(("t5/", "decoder/")) and path.endswith("/kernel") for path in frozen)
    return (
        encode
        + (FROZEN if kernels else TRAINED) * products.kernels
        + TRAINED * products.attention
        + (TRAINED if adapter_trains(config.language.adapters, frozen) else FROZEN) * products.factors
        + 2.0 * written * width * _scored_rows(config, frozen)
    )


def _scored_rows(config: CodeModelConfig, frozen: Collection[str]) -> int:
    """Rows of the vocabulary that a target's hidden state is multiplied with, in both passes."""
    tied = config.tied and not isinstance(config.language, T5Config)
    names = ("table", "new") if tied else ("head", "new_head")
    rows = zip(names, (config.words, config.new_ids), strict=True)
    return sum((FROZEN if f"vocabulary/{name}" in frozen else TRAINED) * count for name, count in rows)


def language_products(config: CodeModelConfig, batch: Batch) -> tuple[Products, int, int]:
    """(the language model over all tokens of a batch, targets, width of what they are scored by)."""
    streams, language = batch.streams, config.language
    if isinstance(language, T5Config):
        sources, targets = (lengths_of(streams[name]) for name in ("source", "target"))
        return t5_products(language, sources, targets), sum(targets), language.width
    lengths = lengths_of(streams["tokens"])
    written = int(np.sum(np.asarray(streams["tokens"].weights) > 0))
    return decoder_products(language, lengths), written, language.streams[0].width


def answer_flops(
    config: CodeModelConfig, questions: Sequence[Example], written: Sequence[int], motion: bool
) -> dict[str, float]:
    """The phases of answers of so many written tokens, of motions or of texts, to questions that are read."""
    ids, language = config.new_ids if motion else config.words + config.new_ids, config.language
    if isinstance(language, T5Config):
        prompts = [max(slots_of(question, "target"), 1) for question in questions]
        sources = [slots_of(question, "source") for question in questions]

        def read(targets: Sequence[int]) -> float:
            return t5_flops(language, ids, sources, targets)

    else:
        prompts = [slots_of(question, "tokens") for question in questions]

        def read(targets: Sequence[int]) -> float:
            return decoder_flops(language, ids, targets, [target - p for target, p in zip(targets, prompts)])

    whole, prefill = read([prompt + count for prompt, count in zip(prompts, written, strict=True)]), read(prompts)
    return {
        "read": encode_flops(config.vqvae, [clip.frames for question in questions for clip in question.clips]),
        "prefill": prefill,
        "decode": whole - prefill,
        "render": decode_flops(config.vqvae, written) if motion else 0.0,
    }
