"""Samples of a model in training: a page of motions of the validation split."""

from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.multihost_utils import process_allgather

from motiongpt3_jax.data_pipelines.pairs import clip_motion
from motiongpt3_jax.experiment.run import Run
from motiongpt3_jax.inference.engine import Engine
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.motion.pictures import Entry, write_page
from motiongpt3_jax.parallel import on_one_device
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.training import Stage

SAMPLES = 4
"""Motions rendered at a time during training."""


CODES = "Codes in most use, each repeated"
"""Heading of what single codes of a codebook stand for."""


def write_samples(
    run: Run, compiled: dict[Any, Callable[..., Any]], stage: Stage, step: int, variables: Variables
) -> None:
    """Writes a page of motions of the validation split: generated from its sentences, or through the VAE and back.

    `compiled` keeps the programs from one call to the next.
    """
    kind = run.folder.kind
    shows = kind.preview(run.config.values["stages"][stage.name])
    if shows is None or "val" not in run.records.splits:
        return
    # Every device has its part of the arrays; one of the first process draws, and the others do not join it.
    if jax.process_count() > 1:
        variables = process_allgather(variables, tiled=True)
    elif jax.device_count() > 1:
        variables = jax.device_get(variables)
    if jax.process_index() == 0:
        with on_one_device():
            _write_page(run, compiled, stage, step, variables, shows)


def _write_page(
    run: Run, compiled: dict[Any, Callable[..., Any]], stage: Stage, step: int, variables: Variables, shows: str
) -> None:
    kind = run.folder.kind
    split, statistics = run.records.split("val"), run.folder.statistics
    engine = Engine.of(run.folder, variables, (stage.name, step), compiled)
    picked = range(min(SAMPLES, len(split)))
    sentences = [split.captions[i][0] for i in picked]
    real = [split.source[i] for i in picked]
    capabilities = engine.answers.capabilities
    if shows == "reconstruct":
        joints = engine.reconstruct([clip.features for clip in real])
        motions = [Motion(places[None], statistics.fps, statistics.skeleton) for places in joints]
    else:
        model = Model(engine, Prompts.of_config(run.config.values, kind, stage.name, fps=statistics.fps))
        frames = [len(clip.features) for clip in real] if capabilities.takes_length else None
        persons = min(capabilities.persons, *(len(clip.persons) for clip in real))
        motions = model.generate(sentences, frames=frames, persons=persons)
    entries = []
    for sentence, motion, clip in zip(sentences, motions, real):
        entries.append(Entry(sentence, motion, f"{stage.name} {step}"))
        entries.append(Entry(sentence, clip_motion(clip, statistics.skeleton), "recorded"))
    if shows == "reconstruct":
        codes = engine.code_motions().items()
        entries += [
            Entry(title, Motion(x[None], statistics.fps, statistics.skeleton), section=CODES) for title, x in codes
        ]
    folder = run.folder.path / "samples"
    folder.mkdir(exist_ok=True)
    write_page(folder / f"{stage.name}_{step:07d}.html", entries, f"{stage.name}, step {step}")
