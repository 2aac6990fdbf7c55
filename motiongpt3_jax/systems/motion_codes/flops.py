"""FLOPs of matrix products: what real tokens and frames need, padding left out."""

from collections.abc import Collection, Sequence

import numpy as np

from motiongpt3_jax.batch import Batch, Example, StreamSlots
from motiongpt3_jax.models import DecoderConfig, T5Config, VqVaeConfig
from motiongpt3_jax.systems.motion_codes.config import CodeModelConfig
from motiongpt3_jax.systems.motion_codes.tokens import FRAMES_PER_CODE, codes_of

TRAINED = 3
"""A trained product is taken once forward, and twice backward."""


ADAPTED = 2
"""A product with a frozen kernel, beside an adapter that trains: once forward, and once back to its input."""


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


def t5_flops(config: T5Config, ids: int, sources: Sequence[int], targets: Sequence[int]) -> float:
    """A T5 over pairs of a source and a target of so many tokens, with scores of `ids` ids behind each target token."""
    inner = config.heads * config.head_width
    attention, mlp = 4 * config.width * inner, 3 * config.width * config.mlp_width
    total = 0.0
    for source, target in zip(sources, targets, strict=True):
        total += config.layers * (source * (attention + mlp) + 2 * source * source * inner)
        # Keys and values of the source belong to each layer of the decoder; a token sees half of its own side.
        from_self = target * (attention + mlp) + target * target * inner
        crossed = (2 * target + 2 * source) * config.width * inner + 2 * target * source * inner
        total += config.decoder_layers * (from_self + crossed) + target * config.width * ids
    return 2 * total


def decoder_flops(config: DecoderConfig, ids: int, lengths: Sequence[int], written: Sequence[int]) -> float:
    """A decoder alone over sequences of so many tokens, with scores of `ids` ids behind the `written` ones."""
    stream, inner = config.streams[0], config.heads * config.head_width
    of_attention = 2 * (config.heads + config.kv_heads) * config.head_width
    token = stream.width * (of_attention + (3 if config.flavour.gated else 2) * stream.mlp_width)
    layers = sum(config.layers * count * token + inner * _pairs(config, count) for count in lengths)
    return 2 * (layers + sum(written) * stream.width * ids)


def _pairs(config: DecoderConfig, slots: int) -> int:
    """Twice the queries and keys of a sequence that see each other in all layers, of which some have a window."""
    windows = config.windows or (None,) * config.layers
    return sum(slots**2 - max(slots - (window or slots), 0) ** 2 for window in windows)


def train_flops(config: CodeModelConfig, loss: str, batch: Batch, frozen: Collection[str] = ()) -> float:
    """A training step on a batch; the few products of adapters are left out.

    Args:
      config: the sizes.
      loss: "tokenizer" or "language".
      batch: in numpy.
      frozen: paths of parameters that do not train.
    """
    frames = [int(count) for count in np.ravel(batch.clip_frames) if count]
    encode = encode_flops(config.vqvae, frames) if batch.clips else 0.0
    if loss == "tokenizer":
        return TRAINED * (encode + decode_flops(config.vqvae, [codes_of(count) for count in frames]))
    adapted = any(path.startswith(("t5/", "decoder/")) and path.endswith("/kernel") for path in frozen)
    return encode + (ADAPTED if adapted else TRAINED) * language_flops(config, batch)


def language_flops(config: CodeModelConfig, batch: Batch) -> float:
    """The language model over all tokens of a batch, forward."""
    ids, streams = config.words + config.new_ids, batch.streams
    if isinstance(config.language, T5Config):
        return t5_flops(config.language, ids, *(lengths_of(streams[name]) for name in ("source", "target")))
    lengths = lengths_of(streams["tokens"])
    return decoder_flops(config.language, ids, lengths, lengths)


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
