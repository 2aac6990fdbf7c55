"""The sections of a config that are MotionGPT3's own, as dataclasses whose fields say what each value must be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from motiongpt3_jax.models.attention_kernels import AUTO, KERNELS
from motiongpt3_jax.models.remat import POLICIES
from motiongpt3_jax.systems.language_models.sections import LanguageModelSection
from motiongpt3_jax.values import (
    FLAG,
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

SHARING = {
    "all": lambda layer, layers: True,
    "none": lambda layer, layers: False,
    "odd": lambda layer, layers: layer % 2 == 0,
    "last_third": lambda layer, layers: layer >= int(layers * 2 / 3),
}
"""Which layers share attention between the streams (`attention_mode`); "odd" counts layers from 1."""

WIDTH, LAYERS, FRAMES = whole(1, 2**16), whole(1, 1024), whole(1, 10**6)
SLOTS = whole(0, 10**6)
ODD = Rule("an odd number from 3 on", lambda value: whole(3, 1023).holds(value) and value % 2 == 1)
EVEN = Rule("an even number from 2 on", lambda value: whole(2, 2**16).holds(value) and value % 2 == 0)
BETA = real(0, 1, above=True, below=True)


@dataclass(frozen=True)
class VaeSection:
    """Section `model.vae`: sizes of the motion VAE, see `models.VaeConfig`."""

    width: int = setting(WIDTH)
    layers: int = setting(ODD)
    heads: int = setting(WIDTH)
    mlp_width: int = setting(WIDTH)
    latents: int = setting(whole(1, 256))
    max_frames: int = setting(FRAMES)
    remat: str = setting(one_of(*POLICIES))


@dataclass(frozen=True)
class DecoderSection(LanguageModelSection):
    """Section `model.decoder`: sizes of the two-stream decoder; those of a language model are the text stream's.

    Attributes:
      motion_factor: widths of the motion stream as a factor of the text's; heads are as wide.
      branches: 2, or 1 for a motion stream with the weights of the text stream.
      attention_mode: which layers share attention between the streams, see `SHARING`.
    """

    motion_factor: float = setting(real(0, 64, above=True))
    branches: int = setting(whole(1, 2))
    attention_mode: str = setting(one_of(*SHARING))

    @property
    def motion_width(self) -> int:
        """Width of the motion stream."""
        return round(self.width * self.motion_factor)

    @property
    def mlp_widths(self) -> tuple[int, int]:
        """Hidden widths of the text's and of the motion's MLP."""
        if self.mlp_width is None:
            return 4 * self.width, 4 * self.motion_width
        return self.mlp_width, round(self.mlp_width * self.motion_factor)


@dataclass(frozen=True)
class HeadSection:
    """Section `model.head`: sizes of the diffusion head, see `models.HeadConfig`."""

    width: int = setting(WIDTH)
    depth: int = setting(LAYERS)
    heads: int = setting(WIDTH)
    time: int = setting(EVEN)


@dataclass(frozen=True)
class ModelSection:
    """Section `model`: all that a config says of the model's shapes and constants, see `MotionGPT3Config`.

    Its `lora` are LoRA adapters of the decoder by name, see `systems.adapters`.
    """

    vae: VaeSection = section(VaeSection)
    decoder: DecoderSection = section(DecoderSection)
    head: HeadSection = section(HeadSection)
    dropout: float = setting(real(0, 1, below=True))
    attention_dropout: float = setting(real(0, 1, below=True))
    attention: str = setting(one_of(AUTO, *KERNELS))
    dtype: str = setting(one_of("float32", "bfloat16", "float16"))
    latent_scale: float | None = setting(none_or(real(0, 1e6, above=True)))
    diffusion_steps: int = setting(whole(1, 10**5))
    betas: tuple[float, float] = setting(pair_of(BETA, BETA))
    repeats: int = setting(whole(1, 1024))
    flow: bool = setting(FLAG)
    times: str = setting(one_of("uniform", "logit_normal"))
    holders: int = setting(whole(1, 64))
    lora: Mapping[str, Any] = setting(SECTION)


@dataclass(frozen=True)
class BatchSection:
    """Section `batch` of a stage: how much a batch holds.

    Attributes:
      rows: rows of a batch, over all devices.
      text_slots, motion_slots: tokens of each stream in a row.
      clips: (frames, clips): so many clips of at most so many frames in a row, from short to long.
      outputs: motions to be made in a row.
      samples: samples in a row at most.
    """

    rows: int = setting(whole(1, 10**6))
    text_slots: int = setting(SLOTS)
    motion_slots: int = setting(SLOTS)
    clips: tuple[tuple[int, int], ...] = setting(sequence_of(pair_of(whole(1, 10**6), whole(1, 10**4))))
    outputs: int = setting(whole(0, 10**4))
    samples: int = setting(whole(1, 10**4))
