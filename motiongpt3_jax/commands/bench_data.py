"""Benchmark of the input pipeline: planning, reading and building of batches, on the host alone."""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.data_pipelines import records
from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.data_pipelines.loader import Loader
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.config import RunConfig, read_config
from motiongpt3_jax.experiment.stage_input import stage_input, zero_codes
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.motion import HUMANML3D
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.registry import find_system
from motiongpt3_jax.text import Tokenizer, load_tokenizer, train_tokenizer

RECORDED = 500
"""Different clips that are written and read; more than these repeat them with other captions."""

STEPS = 20
"""Batches whose building is measured."""

SENTENCES = (
    "a person walks forward, then turns around.",
    "someone jumps up and down on the spot",
    "the man is waving with his right hand",
)
"""Captions where no file of sentences is given."""


@dataclass(frozen=True)
class InputMeasurement:
    """What was measured of one reader's share of the rows.

    Attributes:
      config, stage: what is read.
      readers: processes that the rows of a batch are split over.
      samples: of an epoch, over all readers.
      rows, useful: rows of an epoch's batches, and the share of them that is not empty.
      planning_seconds: CPU seconds in which a reader plans its share of an epoch.
      resume_seconds, border_seconds: CPU seconds until the first batch of a resumed run, with nothing kept; and
        until the first batch of an epoch that was planned while the one before was read.
      planning, reading, building: microseconds of CPU time a sample; reading includes normalisation, planning is that
        of one reader over its own samples.
      samples_per_second: a second of CPU time, with all three.
    """

    config: str
    stage: str
    readers: int
    samples: int
    rows: int
    useful: float
    planning_seconds: float
    resume_seconds: float
    border_seconds: float
    planning: float
    reading: float
    building: float
    samples_per_second: float


@dataclass(frozen=True)
class Recorded(Sequence[Clip]):
    """Some recorded clips over and over."""

    source: Sequence[Clip]
    places: Sequence[int]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Clip:
        return self.source[self.places[index]]


def keep(clips: Recorded) -> Recorded:
    """The same clips, read once."""
    return replace(clips, source=[clips.source[i] for i in range(len(clips.source))])


def usual_stage(stages: Sequence[str]) -> str:
    """The stage that is measured where none is named, of those that a config runs."""
    return "generate" if "generate" in stages else stages[-1]


def bench_data(arguments: argparse.Namespace) -> list[InputMeasurement]:
    """Speeds of the input of a stage, for each number of readers."""
    if not arguments.config:
        raise UserError("bench data measures a config: give --config, for example motiongpt3:tiny")
    config = read_config(plain(load_config(arguments.config, arguments.overrides).to_dict()))
    arguments.stage = arguments.stage or usual_stage(list(config.run))
    if arguments.stage not in config.stages:
        raise UserError(f"--stage {arguments.stage}: the config has {', '.join(config.stages)}")
    rows = config.stages[arguments.stage].rows
    for readers in arguments.readers:
        if readers < 1 or rows % readers:
            raise UserError(f"--readers {readers}: the {rows} rows of a batch of {arguments.stage} do not divide by it")
    captions = read_sentences(arguments.sentences) if arguments.sentences else [SENTENCES]
    with tempfile.TemporaryDirectory() as folder:
        clips = write_clips(Path(folder) / "clips", config.data.min_frames, min(config.data.max_frames, 196))
        split = clips.split("train")
        places = [i % len(split) for i in range(arguments.clips)]
        texts = [captions[i % len(captions)] for i in range(arguments.clips)]
        tokenizer = make_tokenizer(config, texts)
        source, lengths = Recorded(split.source, places), [split.lengths[i] for i in places]

        def make(readers: int) -> Loader:
            return make_loader(config, arguments.stage, source, lengths, texts, tokenizer, readers)

        return [measure_readers(arguments, make, readers) for readers in arguments.readers]


def measure_readers(arguments: argparse.Namespace, make: Callable[..., Loader], readers: int) -> InputMeasurement:
    """One reader's share; a new loader for each measurement that must not find anything kept."""
    loader = make(readers)
    first, shards = loader.steps_per_epoch, loader.order.shards_of(range(loader.options.rows // readers))
    _, resume = _seconds(lambda: make(readers).batch(2 * first + first // 2))
    _enter(loader, first - 1)
    _, border = _seconds(lambda: loader.batch(first))
    _enter(loader, first)
    counts, planning = _seconds(lambda: [len(loader.order.plan(3, shard).table) for shard in shards])
    steps = range(first, first + min(STEPS, first - 1))
    for step in steps:  # until words are known
        loader.batch(step)
    count, whole = _seconds(lambda: sum(int((loader.batch(step).samples >= 0).sum()) for step in steps))
    kept = replace(loader, source=keep(loader.source))
    _enter(kept, first)
    _, building = _seconds(lambda: [kept.batch(step) for step in steps])
    planned = sum(counts)
    total = planning / planned + whole / count
    samples = len(loader.order.visits.order(3))
    filled = sum(len(loader.order.plan(3, shard).rows) for shard in shards) * readers
    return InputMeasurement(
        config=arguments.config,
        stage=arguments.stage,
        readers=readers,
        samples=samples,
        rows=first * loader.options.rows,
        useful=min(filled / (first * loader.options.rows), 1.0),
        planning_seconds=planning,
        resume_seconds=resume,
        border_seconds=border,
        planning=1e6 * planning / planned,
        reading=1e6 * max(whole - building, 0) / count,
        building=1e6 * building / count,
        samples_per_second=1 / total,
    )


def _enter(loader: Loader, step: int) -> None:
    """Reads a batch, and waits until the next epoch is planned."""
    loader.batch(step)
    loader.batch(step)
    loader.order.finish_planning()


def describe_input(result: InputMeasurement) -> str:
    """The numbers for people."""
    return (
        f"data {result.config} {result.stage}, {result.readers} readers: {result.samples_per_second:.0f} samples a "
        f"second of CPU time; a sample takes {result.planning:.1f} us to plan, {result.reading:.0f} us to read, "
        f"{result.building:.0f} us to build; a reader plans its share of {result.samples} samples in "
        f"{result.planning_seconds:.2f} s of CPU time, resumes in {result.resume_seconds:.2f} s and passes from one "
        f"epoch to the next in {result.border_seconds:.2f} s; {result.useful:.1%} of {result.rows} rows are filled"
    )


def make_loader(
    config: RunConfig,
    stage: str,
    source: Sequence[Clip],
    lengths: Sequence[int],
    captions: Sequence[tuple[str, ...]],
    tokenizer: Tokenizer | None,
    readers: int,
) -> Loader:
    """The batches of a stage, as the first of so many processes loads them."""
    batches = stage_input(config, stage, ModelSpec(config.values, HUMANML3D.features, tokenizer, HUMANML3D.fps))
    options, rows = batches.options, range(batches.options.rows // readers)
    codes = zero_codes(batches.encoder, lengths) if batches.encoder else None
    ones = np.ones(HUMANML3D.features, np.float32)
    return Loader(source, lengths, captions, 0 * ones, ones, batches.layout, options, rows, codes=codes)


def make_tokenizer(config: RunConfig, captions: Sequence[tuple[str, ...]]) -> Tokenizer | None:
    """The config's own, trained on the captions where it says so."""
    tokens = find_system(config.system).tokens
    if tokens is None:
        return None
    kind, _, size = config.tokenizer.partition(":")
    if kind != "train":
        return load_tokenizer(config.tokenizer, tokens(config.values))
    texts = dict.fromkeys(text for some in captions for text in some)
    return train_tokenizer(texts, int(size), tokens(config.values))


def write_clips(folder: Path, shortest: int, longest: int) -> records.Records:
    """Records of random features with lengths like those of HumanML3D: normal around 140 frames."""
    draws = np.random.default_rng(0)
    lengths = np.clip(draws.normal(140, 50, RECORDED), shortest, longest).astype(int)
    noise = draws.normal(scale=0.3, size=(longest, HUMANML3D.features)).astype(np.float32)
    clips = (Clip(str(i), noise[:frames], ("a person walks",)) for i, frames in enumerate(lengths.tolist()))
    bones = np.ones((len(HUMANML3D.joints), 3), np.float32)
    return records.build(folder, {"train": clips}, source="random", offsets=bones)


def read_sentences(file: str) -> list[tuple[str, ...]]:
    """Captions of clips: a sentence a line, or lines of JSON with a list of `captions` each.

    Raises:
      UserError: it is neither, or empty.
    """
    lines = [line for line in Path(file).read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise UserError(f"--sentences {file}: the file is empty; give a sentence a line")
    if not lines[0].startswith("{"):
        return [(line.strip(),) for line in lines]
    try:
        return [tuple(map(str, json.loads(line)["captions"])) for line in lines]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        message = f"--sentences {file}: {error!r}; give a sentence a line, or JSON lines with `captions`"
        raise UserError(message) from None


def _seconds(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and the CPU seconds that it takes."""
    began = time.process_time()
    result = call()
    return result, time.process_time() - began
