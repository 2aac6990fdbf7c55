"""The section `model` of a config as MotionLLM has it, as dataclasses whose fields say what each value must be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from motiongpt3_jax.models.attention_kernels import AUTO, KERNELS
from motiongpt3_jax.systems.language_models import LanguageModelSection
from motiongpt3_jax.systems.motion_codes.sections import VqVaeSection
from motiongpt3_jax.values import FLAG, SECTION, one_of, real, section, setting, whole

STREAMS = ("tokens",)
"""Question and answer are one stream."""


@dataclass(frozen=True)
class ModelSection:
    """Section `model`: all that a config says of the model's shapes and constants.

    Attributes:
      vqvae: the motion tokenizer.
      language: the language model.
      dropout, attention_dropout: of the language model; adapters have their own.
      attention: one of `attention_kernels.KERNELS`, or `AUTO`.
      dtype: of the computation.
      base_dtype: in which the language model is held while it is frozen; files keep it as it came.
      lora: LoRA adapters of the language model by name, see `systems.adapters`.
    """

    vqvae: VqVaeSection = section(VqVaeSection)
    language: LanguageModelSection = section(LanguageModelSection)
    dropout: float = setting(real(0, 1, below=True))
    attention_dropout: float = setting(real(0, 1, below=True))
    attention: str = setting(one_of(AUTO, *KERNELS))
    dtype: str = setting(one_of("float32", "bfloat16", "float16"))
    base_dtype: str = setting(one_of("float32", "bfloat16"))
    lora: Mapping[str, Any] = setting(SECTION)


ONE_PERSON = {"persons": 1, "order": "following", "anchors": False}
"""The section `pairs` of configs from before there were two people."""


@dataclass(frozen=True)
class PairsSection:
    """Section `pairs`: how two people are written.

    Attributes:
      persons: 1, or 2 for a model of both.
      order: of two people's codes, see `motion_codes.pair_sequences`.
      anchors: whether the place of the second one comes once a second, against drift; else once.
    """

    persons: int = setting(whole(1, 2))
    order: str = setting(one_of("following", "interleaved"))
    anchors: bool = setting(FLAG)
