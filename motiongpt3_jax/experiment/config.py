"""The config of a run as dataclasses, whose fields say what each value must be; a system reads its own sections itself.

Every default stands in `configs/`, and none here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from motiongpt3_jax.data_pipelines.sources import SOURCES, SourceOptions
from motiongpt3_jax.inference.check_folder import LONGEST
from motiongpt3_jax.parallel import ShardingOptions
from motiongpt3_jax.systems.kind import SystemKind
from motiongpt3_jax.systems.parts import base_patterns
from motiongpt3_jax.systems.registry import find_system, system_names
from motiongpt3_jax.training import OptimizerConfig
from motiongpt3_jax.values import (
    FLAG,
    NAME,
    PATTERN,
    SECTION,
    TEXT,
    Rule,
    check_value,
    check_values,
    from_values,
    one_of,
    pair_of,
    real,
    rules_of,
    section,
    sequence_of,
    setting,
    whole,
)

STEPS = whole(1, 10**9)
EVERY = whole(0, 10**9)
"""Steps between two events; 0 is never."""

DEVICES = whole(1, 2**20)


@dataclass(frozen=True)
class DataConfig:
    """Section `data`: where the clips come from, and how they are read.

    Attributes:
      source: what is built where `path` names no built clips.
      path, min_frames, max_frames, on_bad, clips, sequences: see `SourceOptions`.
      shuffle, crop: see `LoaderOptions`.
      workers: see `num_workers`.
      leave_out: names of training samples that never come, see `find_samples`.
    """

    source: str = setting(one_of(*SOURCES))
    path: str = setting(TEXT)
    min_frames: int = setting(whole(1, LONGEST))
    max_frames: int = setting(whole(1, LONGEST))
    on_bad: str = setting(one_of("stop", "skip"))
    clips: int = setting(whole(1, 10**8))
    sequences: float = setting(real(0, 1))
    shuffle: bool = setting(FLAG)
    crop: bool = setting(FLAG)
    workers: int = setting(whole(-1, 1024))
    leave_out: tuple[str, ...] = setting(sequence_of(NAME))

    def source_options(self, seed: int) -> SourceOptions:
        """What the source is asked for."""
        names = ("path", "min_frames", "max_frames", "on_bad", "clips", "sequences")
        return SourceOptions(seed=seed, **{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class MeshConfig:
    """Section `mesh`: devices along each axis.

    Attributes:
      data, fsdp, tensor: see `make_mesh`; -1 of `data` are all that the other axes leave.
      rows: whether the rows of a stage's batch are its "total", or those "per_shard", each of data x fsdp devices.
      whole_below, reduce_dtype: see `ShardingOptions`.
      step_timeout: see `Hooks`.
    """

    data: int = setting(Rule("a whole number from 1 on, or -1", lambda value: DEVICES.holds(value) or value == -1))
    fsdp: int = setting(DEVICES)
    tensor: int = setting(DEVICES)
    rows: Literal["total", "per_shard"] = setting(one_of("total", "per_shard"))
    whole_below: int = setting(whole(0, 10**15))
    reduce_dtype: Literal["compute", "float32", "bfloat16"] = setting(one_of("compute", "float32", "bfloat16"))
    step_timeout: float = setting(real(0, 1e9))

    @property
    def sharding(self) -> ShardingOptions:
        """How the mesh is used."""
        return ShardingOptions(self.whole_below, self.reduce_dtype)


@dataclass(frozen=True)
class StageConfig:
    """A section of `stages`: one stage of training.

    Attributes:
      loss: which of the system's losses.
      objective, batch: the system's own sections, plain values; `rows` of `batch` is every system's, see `MeshConfig`.
      trainable: path patterns of the parameters that train; LoRA adapters that the loss does not use are none of them.
      steps: updates in all.
      optimizer: the update rule.
      templates: instruction templates, a name or a JSON file; empty for a loss that reads no text.
      subtasks: (sub-task, chance that a clip is visited with it in an epoch); none is every sub-task once.
      log_every, evaluate_every, checkpoint_every, keep, keep_every, best, sample_every: see `training.Stage`.
      validation_batches: batches of each validation.
    """

    loss: str = setting(NAME)
    objective: Mapping[str, Any] = setting(SECTION)
    trainable: tuple[str, ...] = setting(sequence_of(PATTERN, least=1))
    steps: int = setting(STEPS)
    optimizer: OptimizerConfig = section(OptimizerConfig)
    batch: Mapping[str, Any] = setting(SECTION)
    templates: str = setting(TEXT)
    subtasks: tuple[tuple[str, float], ...] = setting(sequence_of(pair_of(NAME, real(0, 1))))
    log_every: int = setting(STEPS)
    evaluate_every: int = setting(EVERY)
    checkpoint_every: int = setting(STEPS)
    keep: int = setting(STEPS)
    keep_every: int = setting(EVERY)
    best: str = setting(NAME)
    sample_every: int = setting(EVERY)
    validation_batches: int = setting(EVERY)

    @property
    def rows(self) -> int:
        """Rows of a batch: over all devices, or of each data shard, as the mesh says."""
        return self.batch["rows"]


@dataclass(frozen=True)
class RunConfig:
    """The whole config of a run.

    Attributes:
      system: which system the rest describes.
      seed: decides fresh parameters, the order of the data, and every draw.
      model: sizes of the model, plain values. A system may have further sections, see `SystemKind.sections`.
      start: one of our models whose trained parts the run starts from, a folder or hub name; empty for none.
      data: where the clips come from.
      mesh: how the devices are laid out.
      run: the stages to train, in order.
      stages: by name; more than are run may be described.
      tokenizer: "train:SIZE" or "train:SIZE+SOURCE", or a folder or hub name; empty where the system has none.
      pretrained: a published model that a part starts from, a folder or hub name; empty for none.
      values: all of it as plain values, which systems read and model folders keep.
    """

    system: str = setting(NAME)
    seed: int = setting(whole(0, 2**31 - 1))
    model: Mapping[str, Any] = setting(SECTION)
    start: str = setting(TEXT)
    data: DataConfig = section(DataConfig)
    mesh: MeshConfig = section(MeshConfig)
    run: tuple[str, ...] = setting(sequence_of(NAME))
    stages: Mapping[str, StageConfig] = setting(SECTION)
    tokenizer: str
    pretrained: str
    values: Mapping[str, Any] = field(repr=False)


def system_rules(kind: SystemKind) -> dict[str, Rule]:
    """What the config of one system has beside the values that every system's has."""
    tokenizer = {} if kind.tokens is None else {"tokenizer": NAME}
    pretrained = {} if kind.weights.pretrained is None else {"pretrained": TEXT}
    return {**tokenizer, **pretrained, **dict.fromkeys(kind.sections, SECTION)}


def read_config(values: Any) -> RunConfig:
    """The dataclasses of a config's plain values, each checked by itself.

    Raises:
      UserError: names the key that is missing, unknown or wrong, and what it must be.
    """
    check_values("config", values, {"system": NAME}, others=True)
    check_value("config.system", values["system"], one_of(*system_names()))
    kind, common = find_system(values["system"]), rules_of(RunConfig)
    check_values("config", values, {**common, **system_rules(kind)})
    check_values("config.data", values["data"], {**rules_of(DataConfig), **kind.data_options})
    others = {name: values.get(name, "") for name in ("tokenizer", "pretrained")}
    data = {key: value for key, value in values["data"].items() if key not in kind.data_options}
    shared = {**{key: values[key] for key in common}, "data": data}
    config = from_values(RunConfig, shared, "config", values=values, **others)
    stages = {name: from_values(StageConfig, stage, f"config.stages.{name}") for name, stage in config.stages.items()}
    for name, stage in stages.items():
        check_value(f"config.stages.{name}.objective.adapter", stage.objective.get("adapter", ""), TEXT)
    if config.model.get("lora"):
        stages = {name: _train_used_adapter(stage) for name, stage in stages.items()}
    return replace(config, stages=stages)


def _train_used_adapter(stage: StageConfig) -> StageConfig:
    used = stage.objective.get("adapter", "")
    return replace(stage, trainable=base_patterns(stage.trainable, (used,) if used else ()))
