"""FLOPs of MotionGPT3's matrix products: what real tokens and frames need, padding left out."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from motiongpt3_jax.batch import Batch, Example
from motiongpt3_jax.models import DecoderConfig, HeadConfig, VaeConfig
from motiongpt3_jax.models.lora import ADAPTER
from motiongpt3_jax.systems.decoder_flops import (
    FROZEN,
    TRAINED,
    adapter_trains,
    factor_values,
    kernel_values,
    kinds_of_layers,
    seen_pairs,
)
from motiongpt3_jax.systems.motiongpt3.config import LanguageObjective, MotionGPT3Config
from motiongpt3_jax.systems.motiongpt3.frozen_text import trained_slots
from motiongpt3_jax.systems.motiongpt3.gpt2 import TEXT


class Lengths(NamedTuple):
    """Slots of one sample.

    Attributes:
      text, motion: of each stream.
      behind: of its text slots, those whose gradient is needed where the text branch is frozen.
    """

    text: int
    motion: int
    behind: int


def train_flops(
    config: MotionGPT3Config,
    loss: str,
    batch: Batch,
    objective: LanguageObjective | None = None,
    frozen: Collection[str] = (),
) -> float:
    """A training step on a batch.

    Args:
      config: the sizes.
      loss: "vae", "language" or "text".
      batch: in numpy.
      objective: of the language losses: a term without weight is not computed; None counts both.
      frozen: paths of parameters that do not train.
    """
    frames = [int(count) for count in np.ravel(batch.clip_frames) if count]
    encode = sum(encode_flops(config.vae, count) for count in frames) if batch.clips else 0.0
    if loss == "vae":
        return TRAINED * (encode + sum(decode_flops(config.vae, count) for count in frames))
    text_trains = not any(TEXT.fullmatch(path) and not ADAPTER.fullmatch(path) for path in frozen)
    config = config.using(objective.adapter) if objective is not None else config
    adapted = adapter_trains(config.decoder.adapters, frozen)
    # An adapter of the text branch has gradients in all of its slots.
    all_slots = text_trains or (adapted and factor_values(config.decoder, config.decoder.streams[0]) > 0)
    samples = lengths_of(config, batch, all_slots)
    motion_trains = not any(path.startswith("decoder/layers/motion/") and path.endswith("/kernel") for path in frozen)
    total = encode + decoder_flops(config.decoder, samples, text_trains, motion_trains, adapted)
    if objective is None or objective.text:
        scores = 2.0 * int(np.sum(batch.streams["text"].weights > 0)) * config.decoder.streams[0].width
        ids = config.vocabulary + config.new_ids
        # Of a frozen table, the new ids alone have gradients.
        total += scores * (TRAINED * ids if text_trains else 2 * ids + config.new_ids)
    if frames and "motion" in batch.streams:
        inputs, outputs = config.vae.latents * config.vae.width, config.holders * config.decoder.streams[1].width
        total += 2 * 2.0 * len(frames) * inputs * outputs  # no gradient enters the VAE
    if frames and (objective is None or objective.diffusion):
        made = int(np.sum(batch.extra["output_clip"] >= 0))
        total += TRAINED * made * head_flops(config.head, config.vae.latents, config.repeats, config.holders)
    return total


def motion_flops(
    config: MotionGPT3Config, questions: Sequence[Example], frames: Sequence[int], steps: int, guided: bool
) -> dict[str, float]:
    """The phases of motions of so many frames that are made from questions in some denoising steps.

    What a step computes of the noise level and of the null condition serves all rows, and is left out.
    """
    head, latents = config.head, config.vae.latents
    step = latents * (head.depth * 2 * head.width**2 + 2 * head.latent * head.width)
    condition = head.depth * 3 * head.width**2 + 2 * head.width**2
    of_step = step * (2 if guided else 1) + condition
    return {
        "understand": _understand_flops(config, questions),
        "condition": sum(read_flops(config.decoder, *lengths) for lengths in _slots(questions)),
        "sample": len(frames) * 2.0 * (_pool_products(head, config.holders) + steps * of_step),
        "decode": sum(decode_flops(config.vae, count) for count in frames),
    }


def text_flops(config: MotionGPT3Config, questions: Sequence[Example], written: Sequence[int]) -> dict[str, float]:
    """The phases of texts of so many tokens, their ends included, that answer questions."""
    ids = config.vocabulary + config.new_ids
    read = sum(
        read_flops(config.decoder, text + count, motion)
        for (text, motion), count in zip(_slots(questions), written, strict=True)
    )
    scores = 2.0 * sum(written) * config.decoder.streams[0].width * ids
    return {"understand": _understand_flops(config, questions), "write": read + scores}


def _understand_flops(config: MotionGPT3Config, questions: Sequence[Example]) -> float:
    return sum(encode_flops(config.vae, clip.frames) for question in questions for clip in question.clips)


def _slots(questions: Sequence[Example]) -> list[tuple[int, int]]:
    """Text and motion slots of each question that has any."""
    return [
        tuple(len(question.streams[name].ids) for name in ("text", "motion"))
        for question in questions
        if question.streams
    ]


def read_flops(config: DecoderConfig, text: int, motion: int) -> float:
    """The decoder over one sequence, forward; a slot sees half of it."""
    inner, (of_text, of_motion) = config.heads * config.head_width, _slot_values(config)
    pairs = sum(
        count * sum(seen_pairs(size, window) for size in ([text + motion] if shared else [text, motion]))
        for (shared, window), count in kinds_of_layers(config).items()
    )
    return 2.0 * (config.layers * (text * of_text + motion * of_motion) + inner * pairs)


def _slot_values(config: DecoderConfig) -> list[int]:
    """Values of a layer that a slot of each stream is multiplied with, those of the adapter in use among them."""
    return [
        kernels + factor_values(config, stream)
        for kernels, stream in zip(kernel_values(config), config.streams, strict=True)
    ]


def lengths_of(config: MotionGPT3Config, batch: Batch, text_trains: bool) -> list[Lengths]:
    """Slots of each sample of a batch."""
    text, motion = batch.streams["text"], batch.streams.get("motion")
    behind = None if text_trains else np.asarray(trained_slots(batch, config.vocabulary))
    samples = []
    for row, segments in enumerate(np.asarray(text.segments)):
        others = np.zeros(0, int) if motion is None else np.asarray(motion.segments[row])
        last = max(int(segments.max(initial=0)), int(others.max(initial=0))) + 1
        texts, motions = (np.bincount(each, minlength=last)[1:] for each in (segments, others))
        reached = texts if behind is None else np.bincount(segments[behind[row]], minlength=last)[1:]
        samples += [Lengths(*map(int, each)) for each in zip(texts, motions, reached)]
    return samples


def decoder_flops(
    config: DecoderConfig,
    samples: Sequence[Lengths],
    text_trains: bool,
    motion_trains: bool = True,
    adapted: bool = False,
) -> float:
    """The decoder over samples, forward and backward; a slot sees half of its sequence.

    Args:
      config: sizes, and which adapter is in use.
      samples: the slots of each.
      text_trains, motion_trains: whether kernels of each branch have gradients.
      adapted: whether the adapter has.
    """
    inner, (of_text, of_motion) = config.heads * config.head_width, kernel_values(config)
    low_text, low_motion = (factor_values(config, stream) for stream in config.streams)
    total, kinds = 0.0, kinds_of_layers(config)
    for text, motion, behind in samples:
        # Frozen kernels have no gradients themselves, and slots that nothing trainable reaches have none at all.
        text_products = TRAINED * text if text_trains else text + behind
        motion_products = (TRAINED if motion_trains else FROZEN) * motion
        total += config.layers * (text_products * of_text + motion_products * of_motion)
        low_products = TRAINED * text if adapted else text + behind
        total += config.layers * (low_products * low_text + TRAINED * motion * low_motion)
        alone = 0 if text_trains else text - behind
        for (shared, window), layers in kinds.items():
            sizes = [text + motion] if shared else [text, motion]
            pairs = sum(seen_pairs(size, window) for size in sizes)
            total += layers * inner * (TRAINED * pairs - 2 * seen_pairs(alone, window))
    return 2 * total


def encode_flops(config: VaeConfig, frames: int) -> float:
    """A clip of so many frames to its posterior, forward."""
    slots, width = frames + 2 * config.latents, config.width
    return 2.0 * (frames * config.features * width) + _transformer_flops(config, slots)


def decode_flops(config: VaeConfig, frames: int) -> float:
    """A latent to a clip of so many frames, forward."""
    width, latents = config.width, config.latents
    # A single latent has all the weight: its value alone is projected, and is the same for all frames until dropout.
    cross = latents * width**2 + (frames if latents > 1 or config.dropout else 1) * width**2
    if latents > 1:
        cross += frames * width**2 + latents * width**2 + 2 * frames * latents * width
    return 2.0 * (config.layers * cross + frames * config.features * width) + _transformer_flops(config, frames)


def _transformer_flops(config: VaeConfig, slots: int) -> float:
    width = config.width
    layer = slots * (4 * width**2 + 2 * width * config.mlp_width) + 2 * slots**2 * width
    joins = (config.layers - 1) // 2 * slots * 2 * width**2
    return 2.0 * (config.layers * layer + joins)


def head_flops(config: HeadConfig, latents: int, repeats: int, holders: int) -> float:
    """The diffusion head for one motion to be made, at so many noise levels, forward."""
    width = config.width
    time = config.time * width + width**2
    block = 3 * width**2 + latents * 2 * width**2
    ends = latents * 2 * config.latent * width + 2 * width**2
    return 2.0 * (_pool_products(config, holders) + repeats * (time + config.depth * block + ends))


def _pool_products(config: HeadConfig, holders: int) -> float:
    """Multiplications of the layer that pools the holders of one motion."""
    tokens = holders + 1
    products = tokens * (4 * config.condition**2 + 2 * config.condition * config.pool_mlp)
    return products + 2 * tokens**2 * config.condition + config.condition * config.width
