"""How full a stage's packed rows are: samples in a row, and the FLOPs that their real tokens and frames need."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from motiongpt3_jax.data_pipelines.loader import Loader, useful
from motiongpt3_jax.data_pipelines.records import Records, open_records
from motiongpt3_jax.data_pipelines.sources import build_source
from motiongpt3_jax.experiment.config import RunConfig
from motiongpt3_jax.experiment.stage_input import stage_input, zero_codes
from motiongpt3_jax.planning.results import Filling
from motiongpt3_jax.planning.stage_program import StageProgram
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.registry import find_system
from motiongpt3_jax.text import Tokenizer, train_tokenizer
from motiongpt3_jax.training.partition import paths_of

CLIPS = 160
"""Clips that are made where the config names no built ones."""

LONGEST = 196
"""Frames of the longest of them."""

WORDS = 1024
"""Ids of the tokenizer that lays their captions out."""

ROWS = 8
"""Rows that are laid out."""


def measure_filling(config: RunConfig, spec: ModelSpec, programs: Mapping[str, StageProgram]) -> dict[str, Filling]:
    """The filling of each stage's rows, by the config's clips where they are built, else by clips that are made here.

    Args:
      config: the config.
      spec: the model's.
      programs: of the stages, by name.
    """
    with open_clips(config) as (records, source):
        tokenizer = make_tokenizer(config, spec, records)
        return {
            name: _fill(make_loader(config, name, records, tokenizer), source, program)
            for name, program in programs.items()
        }


@contextmanager
def open_clips(config: RunConfig) -> Iterator[tuple[Records, str]]:
    """(clips, whose they are): a config's own where they are built, else some that are made here."""
    with ExitStack() as stack:
        built = Path(os.path.expanduser(config.data.path))
        if config.data.path and (built / "metadata.json").is_file():
            yield open_records(built), config.data.path
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            yield _procedural(config, folder / "data"), "procedural"


def _procedural(config: RunConfig, folder: Path) -> Records:
    data = config.data
    longest = min(data.max_frames, LONGEST)
    options = replace(data, source="procedural", path="", clips=CLIPS, max_frames=longest).source_options(config.seed)
    return build_source("procedural", folder, options)


def _fill(loader: Loader, source: str, program: StageProgram) -> Filling:
    batch, stage = next(loader.first_batches(1)), program.stage
    shares = dict(useful(batch))
    samples = shares.pop("samples")
    shares.pop("tokens")
    flops = program.plain.train_flops(stage.loss, batch, stage.objective, paths_of(program.program.frozen))
    return Filling(source, samples / ROWS, shares, None if flops is None else flops / ROWS)


def make_tokenizer(config: RunConfig, spec: ModelSpec, records: Records) -> Tokenizer | None:
    """A tokenizer of the kind that the config has, and of its captions; its vocabulary is a small one of its own."""
    if spec.tokenizer is None:
        return None
    texts = [text for some in records.split("train").captions for text in some]
    tokens, size = find_system(config.system).tokens(config.values), spec.tokenizer.base_vocabulary
    return train_tokenizer(texts, min(WORDS, size - len(tokens.sentinels)), tokens)


def make_loader(config: RunConfig, stage: str, records: Records, tokenizer: Tokenizer | None) -> Loader:
    """A few rows of a stage's batches; where clips are encoded before it, the codes are zeros."""
    clips = records.split("train")
    batches = stage_input(config, stage, ModelSpec(config.values, len(records.mean), tokenizer, records.fps))
    return Loader(
        clips.source,
        clips.lengths,
        clips.captions,
        records.mean,
        records.std,
        batches.layout,
        replace(batches.options, rows=ROWS),
        range(ROWS),
        clips.extras,
        zero_codes(batches.encoder, clips.lengths) if batches.encoder else None,
    )
