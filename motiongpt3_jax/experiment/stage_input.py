"""What a config says of a stage's batches: how samples are drawn, laid out and packed, over whichever clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Shaped

from motiongpt3_jax.batch import ClipRange, Layout
from motiongpt3_jax.data_pipelines.loader import LoaderOptions
from motiongpt3_jax.experiment.config import RunConfig
from motiongpt3_jax.systems.interface import ClipEncoder, ModelSpec
from motiongpt3_jax.systems.registry import find_system
from motiongpt3_jax.text import load_templates


@dataclass(frozen=True)
class StageInput:
    """How the batches of a stage are made.

    Attributes:
      options: how samples are drawn and batched.
      layout: how they are laid out.
      encoder: of clips that are encoded before the stage begins; None where none are.
    """

    options: LoaderOptions
    layout: Layout
    encoder: ClipEncoder | None


def stage_input(config: RunConfig, stage: str, spec: ModelSpec) -> StageInput:
    """How a config wants the batches of a stage."""
    kind, section, values = find_system(config.system), config.stages[stage], config.values["stages"][stage]
    spec = replace(spec, config=config.values)
    encoder, shape = kind.clip_encoder(values, spec), kind.row_shape(values)
    names = load_templates(section.templates, kind.tasks) if section.templates else ("clip",)
    options = LoaderOptions(
        seed=config.seed,
        rows=section.rows,
        shape=encoder.row_shape(shape) if encoder else shape,
        subtasks=section.subtasks or tuple((name, 1.0) for name in names),
        shuffle=config.data.shuffle,
        crop=config.data.crop and encoder is None,
        workers=0,
    )
    return StageInput(options, kind.layout(values, spec), encoder)


def zero_codes(encoder: ClipEncoder, lengths: Sequence[int]) -> list[Mapping[ClipRange, Shaped[np.ndarray, "codes"]]]:
    """As many codes as an encoder makes of clips of these lengths, all zero, where only their number counts."""
    return [
        {part: np.zeros(encoder.count(part.frames), encoder.dtype) for part in encoder.ranges(frames)}
        for frames in lengths
    ]
