"""The sections of a config that are MotionGPT's own, as dataclasses whose fields say what each value must be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from motiongpt3_jax.models.attention_kernels import AUTO, KERNELS
from motiongpt3_jax.models.remat import POLICIES
from motiongpt3_jax.values import (
    FLAG,
    NAME,
    SECTION,
    Rule,
    none_or,
    one_of,
    pair_of,
    real,
    section,
    sequence_of,
    setting,
    whole,
)

WIDTH, LAYERS, FRAMES = whole(1, 2**16), whole(1, 1024), whole(1, 10**6)
STREAMS = {"t5": ("source", "target"), "gpt2": ("tokens",)}
"""The streams of each kind of language model; the last one is what it writes."""

SLOTS = Rule(
    "a section with a number of slots for each stream",
    lambda value: (
        isinstance(value, Mapping) and all(NAME.holds(k) and whole(0, 10**6).holds(v) for k, v in value.items())
    ),
)


@dataclass(frozen=True)
class VqVaeSection:
    """Section `model.vqvae`: sizes of the motion tokenizer, see `models.VqVaeConfig`.

    Attributes:
      width, code_width, codes, depth, dilation_growth: of these.
      permute: whether codes that are hardly used are re-seeded from random places of a batch, or from its first ones.
    """

    width: int = setting(WIDTH)
    code_width: int = setting(WIDTH)
    codes: int = setting(whole(2, 2**16))
    depth: int = setting(whole(1, 16))
    dilation_growth: int = setting(whole(1, 16))
    permute: bool = setting(FLAG)


@dataclass(frozen=True)
class LanguageSection:
    """Section `model.language`: sizes of the language model.

    Attributes:
      width: of the hidden states.
      layers: of a decoder alone, or of each half of a T5.
      heads, head_width: of every attention.
      mlp_width: of the hidden layer of an MLP.
      max_positions: rows of the table of positions; None for a T5, whose positions are relative.
      scan, remat: see `models.DecoderConfig`.
    """

    width: int = setting(WIDTH)
    layers: int = setting(LAYERS)
    heads: int = setting(WIDTH)
    head_width: int = setting(WIDTH)
    mlp_width: int = setting(WIDTH)
    max_positions: int | None = setting(none_or(FRAMES))
    scan: bool = setting(FLAG)
    remat: str = setting(one_of(*POLICIES))


@dataclass(frozen=True)
class ModelSection:
    """Section `model`: all that a config says of the model's shapes and constants.

    Attributes:
      vqvae: the motion tokenizer.
      lm: "t5", or "gpt2" for a decoder alone.
      language: the language model.
      dropout, attention_dropout: of the language model.
      attention: one of `attention_kernels.KERNELS`, or `AUTO`; a T5 has the reference alone.
      dtype: of the computation.
      lora: LoRA adapters of the language model by name, see `systems.adapters`.
    """

    vqvae: VqVaeSection = section(VqVaeSection)
    lm: str = setting(one_of(*STREAMS))
    language: LanguageSection = section(LanguageSection)
    dropout: float = setting(real(0, 1, below=True))
    attention_dropout: float = setting(real(0, 1, below=True))
    attention: str = setting(one_of(AUTO, *KERNELS))
    dtype: str = setting(one_of("float32", "bfloat16", "float16"))
    lora: Mapping[str, Any] = setting(SECTION)


@dataclass(frozen=True)
class BatchSection:
    """Section `batch` of a stage: how much a batch holds.

    Attributes:
      rows: rows of a batch, over all devices.
      slots: tokens of each stream in a row.
      clips: (frames, clips): so many clips of at most so many frames in a row, from short to long.
      samples: samples in a row at most.
      window: frames of a clip that the tokenizer sees at a visit; 0 for all.
    """

    rows: int = setting(whole(1, 10**6))
    slots: Mapping[str, int] = setting(SLOTS)
    clips: tuple[tuple[int, int], ...] = setting(sequence_of(pair_of(FRAMES, whole(1, 10**4)), least=1))
    samples: int = setting(whole(1, 10**4))
    window: int = setting(whole(0, 10**6))
