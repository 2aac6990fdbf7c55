"""From a config to the objects of a run; the only place that knows both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from motiongpt3_jax.data_pipelines.loader import ORDER, ORDERS, Loader, StageData, find_samples
from motiongpt3_jax.data_pipelines.num_workers import num_workers
from motiongpt3_jax.data_pipelines.records import Records, open_records
from motiongpt3_jax.data_pipelines.sources import build_source, made_sentences
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.beginning import beginning, learned_tasks, of_start, open_beginnings
from motiongpt3_jax.experiment.check_config import check_config, check_places, stages_to_run, trained_tokenizer
from motiongpt3_jax.experiment.clip_codes import load_codes
from motiongpt3_jax.experiment.config import RunConfig
from motiongpt3_jax.experiment.stage_input import stage_input
from motiongpt3_jax.inference.caption_words import CaptionWords
from motiongpt3_jax.inference.folder import ModelFolder, MotionStatistics, make_folder, plain, read_folder
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.inference.weights import read_checkpoint
from motiongpt3_jax.mirror import local_folder
from motiongpt3_jax.parallel import local_rows, make_constrain, make_mesh
from motiongpt3_jax.parallel.checks import BatchSize, check_divides
from motiongpt3_jax.parallel.sharding import row_shards
from motiongpt3_jax.places import require_room
from motiongpt3_jax.systems.attention import choose_attention
from motiongpt3_jax.systems.interface import System, Variables
from motiongpt3_jax.systems.registry import find_system
from motiongpt3_jax.text import train_tokenizer
from motiongpt3_jax.training import Stage
from motiongpt3_jax.training.folders import last_folder, stages_of, steps_of
from motiongpt3_jax.training.manifest import read_meta

CHANGING = ("mesh", "run", "stages")
"""Sections of the config that a run may be continued with other values of; the others it keeps."""

CHANGING_VALUES = {"data": ("leave_out", "workers")}
"""Values of the other sections of which the same holds."""

QUANTILES = 21
"""Numbers that describe the lengths of the training clips."""


@dataclass(frozen=True)
class Run:
    """What a run is made of.

    Attributes:
      config: the config.
      folder: the model's folder, which is the run's.
      records: the clips.
    """

    config: RunConfig
    folder: ModelFolder
    records: Records

    def stages(self) -> list[Stage]:
        """The stages that the config asks for, in order."""
        return [make_stage(name, self.config) for name in stages_to_run(self.config)]

    def system(self) -> System:
        """The model's functions, pinned to the mesh where there are several devices, with their attention kernel."""
        constrain = make_constrain(self.config.mesh.sharding)
        spec = choose_attention(self.folder.spec, jax.default_backend())
        return self.folder.kind.make_system(spec, constrain if jax.device_count() > 1 else None)

    def mesh(self) -> Mesh:
        """All devices, along the axes that the config asks for."""
        return mesh_of(self.config)

    def data(self, stage: Stage) -> StageData:
        """Training and validation batches of a stage."""
        frozen = cache(partial(self._frozen, stage.name))  # both splits are encoded with it
        train = self.loader(stage.name, "train", frozen)
        held_out = self.loader(stage.name, "val", frozen) if "val" in self.records.splits else None
        return StageData(train, held_out, self.config.stages[stage.name].validation_batches)

    def loader(self, stage: str, split: str, frozen: Callable[[], Variables] | None = None) -> Loader:
        """Batches of one split, as a stage lays them out; `frozen` reads what clips are encoded with before it."""
        clips, batches = self.records.split(split), stage_input(self.config, stage, self.folder.spec)
        workers = num_workers(self.config.data.workers, jax.default_backend() != "cpu")
        options = replace(batches.options, rows=rows_of(self.config, stage), workers=workers)
        codes = None
        if batches.encoder:
            codes = load_codes(self.folder, clips, batches.encoder, frozen or partial(self._frozen, stage))
        left_out: frozenset[int] = frozenset()
        if split == "train":
            names = [name for name, _ in options.subtasks]
            left_out = find_samples(self.config.data.leave_out, clips.ids, names)
        return Loader(
            clips.source,
            clips.lengths,
            clips.captions,
            self.folder.statistics.mean,
            self.folder.statistics.std,
            batches.layout,
            options,
            local_rows(self.mesh(), options.rows),
            clips.extras,
            codes,
            data_order(self.folder.path),
            left_out,
        )

    def _frozen(self, stage: str) -> Variables:
        """The variables of which a stage takes what it does not train: those with which the stage before ended."""
        names = stages_to_run(self.config)
        trained = [name for name in names[: names.index(stage) + 1] if steps_of(self.folder.path, name)]
        if trained:
            before = trained[:-1] if trained[-1] == stage and len(trained) > 1 else trained
            return read_checkpoint(self.folder, before[-1], ema=False)[2]
        return beginning(self.config, self.folder.spec, jax.random.key(0))


def data_order(run_dir: Path) -> int:
    """Version of the order in which a run's samples come: that of its checkpoints, or the newest where it has none."""
    written = [stage for stage in stages_of(run_dir) if steps_of(run_dir, stage)]
    orders = [read_meta(last_folder(run_dir, stage)).get("order", 1) for stage in written]
    return min((order for order in orders if order in ORDERS), default=min(ORDERS) if orders else ORDER)


def check_devices(config: RunConfig) -> None:
    """Refuses a mesh over which the batches of some stage of a config, or the decoder's heads, do not divide.

    Raises:
      UserError: names the stage and what would do.
    """
    stages = {name: config.stages[name] for name in stages_to_run(config)}
    sizes = {name: BatchSize(rows_of(config, name), stage.optimizer.accumulate) for name, stage in stages.items()}
    heads = find_system(config.system).heads(config.model)
    check_divides(mesh_of(config).shape, sizes, heads)


def check_run(config: ConfigDict, workdir: str | Path) -> tuple[RunConfig, Path]:
    """(the config, the run's folder), when a run can begin with both: nothing is written.

    Raises:
      UserError: a value of the config is none, or does not fit the devices.
      OSError: the folder cannot be written.
    """
    checked = check_config(plain(config.to_dict()))
    check_devices(checked)
    return checked, check_workdir(workdir)


def make_run(config: ConfigDict, workdir: str | Path) -> Run:
    """Prepares a run's folder, or opens it again: data, tokenizer, statistics, config.

    The config, and all that it names, are checked before anything is built or written. Of several processes the first
    prepares the folder, before the others call this; they share a file system.

    Raises:
      UserError: the config has a value that is none, or the folder was made with another model, tokenizer, data or
        layout; says which.
      OSError: what the config names is not there, or the folder cannot be written.
    """
    checked, workdir = check_run(config, workdir)
    folder = read_folder(workdir) if (workdir / "config.json").is_file() else None
    if folder:
        check_same(folder.config, checked.values, workdir)
    if jax.process_index():
        return Run(checked, read_folder(workdir), prepare_data(checked, workdir))
    start, tokenizer = (None, folder.tokenizer) if folder else open_beginnings(checked)
    if not folder:
        check_places(checked)
    records = prepare_data(checked, workdir)
    statistics = make_statistics(records)
    if folder:
        statistics = replace(statistics, mean=folder.statistics.mean, std=folder.statistics.std)
    elif tokenizer is None and (tokens := find_system(checked.system).tokens) is not None:
        captions = [caption for captions in records.split("train").captions for caption in captions]
        size, source = trained_tokenizer(checked.tokenizer)
        captions.extend(made_sentences(source) if source else ())
        tokenizer = train_tokenizer(captions, size, tokens(checked.values))
    if start:
        tokenizer, statistics = of_start(start, tokenizer, statistics)
    words = find_words(checked, records, folder, start)
    learned = folder.learned if folder else learned_tasks(checked, start)
    folder = make_folder(workdir, checked.values, tokenizer, statistics, words=words, learned=learned)
    return Run(checked, folder, records)


def check_workdir(workdir: str | Path) -> Path:
    """The folder of a run.

    Raises:
      UserError: it has no name.
      OSError: a file stands there, or nothing can be written.
    """
    if not str(workdir):
        raise UserError("--workdir is empty; give a folder")
    folder = Path(workdir)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"--workdir {workdir}: a file stands there; give a folder")
    require_room("--workdir", folder, "a folder")
    return folder


def mesh_of(config: RunConfig) -> Mesh:
    """All devices, along the axes that a config asks for.

    Raises:
      UserError: there are other numbers of devices.
    """
    axes = config.mesh
    return make_mesh(None if axes.data < 0 else axes.data, axes.fsdp, axes.tensor)


def rows_of(config: RunConfig, stage: str) -> int:
    """Rows of a stage's batch, over all devices."""
    rows = config.stages[stage].rows
    return rows * row_shards(mesh_of(config).shape) if config.mesh.rows == "per_shard" else rows


def prepare_data(config: RunConfig, workdir: Path) -> Records:
    """The run's clips: built before, or built now into the run's folder."""
    data = config.data
    built = local_folder(data.path)
    if data.path and (built / "metadata.json").is_file():
        return open_records(built)
    out = workdir / "data"
    if (out / "metadata.json").is_file():
        return open_records(out)
    print(f"building {data.source} clips into {out}", flush=True)
    return build_source(data.source, out, data.source_options(config.seed))


def find_words(
    config: RunConfig, records: Records, folder: ModelFolder | None, start: ModelFolder | None
) -> CaptionWords | None:
    """The words of a run's captions and instructions; None where it starts from a model whose words nobody knows.

    Args:
      config: of the run.
      records: the clips.
      folder: the run's own folder, where it is opened again; its start may be gone then.
      start: the model that the run starts from. One whose motion branch is fresh has seen no captions.
    """
    captions = (caption for captions in records.split("train").captions for caption in captions)
    words = CaptionWords.of(captions, Prompts.of_config(config.values, find_system(config.system), "").wordings)
    before = folder if folder and (folder.words or config.start) else start
    if before is None or before.kind.weights.captions_part in before.untrained:
        return words
    return before.words and words.merge(before.words)


def make_statistics(records: Records) -> MotionStatistics:
    """What turns the features of some clips into joints."""
    lengths = np.quantile(records.split("train").lengths, np.linspace(0, 1, QUANTILES))
    return MotionStatistics(records.mean, records.std, records.offsets, records.skeleton, records.fps, lengths)


def make_stage(name: str, config: RunConfig) -> Stage:
    """A stage of the config.

    Raises:
      UserError: a number of it is out of range.
    """
    stage = config.stages[name]
    return Stage(
        name=name,
        loss=stage.loss,
        objective=find_system(config.system).objective(stage.loss, stage.objective),
        trainable=stage.trainable,
        steps=stage.steps,
        optimizer=stage.optimizer,
        log_every=stage.log_every,
        evaluate_every=stage.evaluate_every,
        checkpoint_every=stage.checkpoint_every,
        sample_every=stage.sample_every,
        keep=stage.keep,
        keep_every=stage.keep_every,
        best=stage.best,
    )


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], workdir: Path) -> None:
    """Raises UserError when a section that a run keeps has changed; names the first value that differs."""
    for section in (name for name in now if name not in CHANGING):
        # A run from before there was a section has none of it, which is what nothing stands for.
        difference = _difference(section, *(_kept(section, values.get(section, "")) for values in (before, now)))
        if difference:
            raise UserError(f"{workdir} was begun with {difference}; keep the old value or take a new --workdir")


def _kept(section: str, value: Any) -> Any:
    """A section without the values that may change."""
    changing = CHANGING_VALUES.get(section, ())
    return {key: item for key, item in value.items() if key not in changing} if isinstance(value, dict) else value


def _difference(path: str, before: Any, now: Any) -> str | None:
    if isinstance(before, dict) and isinstance(now, dict) and before.keys() == now.keys():
        return next(filter(None, (_difference(f"{path}.{key}", before[key], now[key]) for key in before)), None)
    return None if before == now else f"{path}={before!r}, and is now asked for {now!r}"
