"""The section `model` of a config as MotionGPT has it, as dataclasses whose fields say what each value must be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from motiongpt3_jax.models.attention_kernels import AUTO, KERNELS
from motiongpt3_jax.models.remat import POLICIES
from motiongpt3_jax.systems.motion_codes.sections import FRAMES, WIDTH, VqVaeSection
from motiongpt3_jax.values import FLAG, SECTION, none_or, one_of, real, section, setting, whole

LAYERS = whole(1, 1024)
STREAMS = {"t5": ("source", "target"), "gpt2": ("tokens",)}
"""The streams of each kind of language model; the last one is what it writes."""


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
