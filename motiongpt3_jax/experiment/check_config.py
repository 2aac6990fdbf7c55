"""Validation of a config, whole and once, before anything of a run is built or written."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from motiongpt3_jax.data_pipelines.sources import MADE, open_source, possible_actions
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.config import DataConfig, RunConfig, StageConfig, read_config
from motiongpt3_jax.mirror import is_remote, local_folder
from motiongpt3_jax.models.lora import ADAPTER
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.registry import find_system
from motiongpt3_jax.systems.shapes import STATE, array_shapes
from motiongpt3_jax.text import Subtask, load_templates
from motiongpt3_jax.text.tokenizer import blank_tokenizer, check_size
from motiongpt3_jax.training import partition
from motiongpt3_jax.values import NAME, Rule, check_value, check_values, one_of, whole

FOLDER = Rule(
    "the name of a folder", lambda value: NAME.holds(value) and value not in (".", "..") and not set(value) & {*"/\\"}
)
TRAINED = re.compile(r"train:([^+]*)(?:[+](.*))?", re.DOTALL)
"""A tokenizer that is trained on the captions, its size, and a source whose captions it is trained on as well."""

BATCH = {"rows": whole(1, 10**6)}
"""What every system's section `batch` has."""


def check_config(values: Mapping[str, Any]) -> RunConfig:
    """The config of a run, when all its values are right and go together.

    Looks at nothing but the config, and at the files of templates that it names: what else it names may be gone when
    a run goes on.

    Args:
      values: plain values, every list a tuple.

    Raises:
      UserError: a value of it is none, or does not go with another; says which, and what is.
    """
    config = read_config(values)
    find_system(config.system).check_config(values, "config")
    check_data(config.data)
    if trained_tokenizer(config.tokenizer) and config.pretrained:
        raise UserError(
            f"config.pretrained is {config.pretrained!r}, and config.tokenizer {config.tokenizer!r}: it "
            "needs the tokenizer that it was trained with; set config.tokenizer to its folder or hub name"
        )
    check_run(config)
    parameters = parameter_shapes(values)
    check_adapters(config, parameters)
    for name in config.run:
        check_stage(name, config, parameters)
    return config


def check_adapters(config: RunConfig, parameters: Mapping[str, tuple[int, ...]]) -> None:
    """Raises UserError when a LoRA adapter adapts nothing, or a stage is to train one that its loss does not use.

    Args:
      config: the config.
      parameters: paths and shapes of all.
    """
    adapters = {path: match["name"] for path in parameters if (match := ADAPTER.fullmatch(path))}
    for name in config.model.get("lora", {}):
        if name not in adapters.values():
            raise UserError(
                f"config.model.lora.{name}.targets matches no projection; write them as `sections.adapter` says, such "
                "as text/(q|v)"
            )
    for stage in config.run:
        used = config.stages[stage].objective.get("adapter", "")
        for pattern in config.values["stages"][stage]["trainable"]:
            named = {adapters.get(path) for path in parameters if partition.matches(path, (pattern,))}
            if named and not named & {None, used}:
                raise UserError(
                    f"config.stages.{stage}.trainable names {pattern!r}, an adapter that has no gradient, as the "
                    f"stage's objective.adapter is {used!r}: set that to {sorted(named)[0]!r}"
                )


def small_spec(values: Mapping[str, Any]) -> ModelSpec:
    """A model of the config with frames of one feature and a vocabulary of one id, for what depends on neither."""
    kind = find_system(values["system"])
    tokens = kind.tokens and kind.tokens(values)
    return ModelSpec(values, 1, tokens and blank_tokenizer(tokens))


def check_encoder(path: str, stage: StageConfig, config: RunConfig, parameters: Mapping[str, tuple[int, ...]]) -> None:
    """Raises UserError when clips are to be encoded before a stage that changes their encoder."""
    kind = find_system(config.system)
    encoder = kind.clip_encoder(config.values["stages"][path.rpartition(".")[2]], small_spec(config.values))
    if encoder is None:
        return
    for name in parameters:
        if partition.matches(name, encoder.patterns) and partition.matches(name, stage.trainable):
            raise UserError(f"{path} trains {name}, and its clips are to be encoded before it begins: do one or other")


def parameter_shapes(values: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Paths and shapes of all parameters; which there are does not depend on the features and the vocabulary."""
    shapes = array_shapes(find_system(values["system"]), small_spec(values))
    return {name: shape for name, shape in shapes.items() if not name.startswith(STATE)}


class TrainedTokenizer(NamedTuple):
    """A tokenizer that is to be trained on the captions.

    Attributes:
      size: how many ids it has.
      source: whose captions it is trained on as well; empty for none.
    """

    size: int
    source: str


def trained_tokenizer(tokenizer: str) -> TrainedTokenizer | None:
    """The tokenizer that is to be trained on the captions; None for one that is named.

    Raises:
      UserError: it has no size, or such a source makes no captions.
    """
    match = TRAINED.fullmatch(tokenizer)
    if not match:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", match[1]) or match[2] not in (None, *MADE):
        raise UserError(
            f"config.tokenizer is {tokenizer!r}; write train:SIZE, for example train:1024, or train:SIZE+SOURCE "
            f"with one of {', '.join(MADE)}, whose captions it is to know as well"
        )
    check_size(int(match[1]))
    return TrainedTokenizer(int(match[1]), match[2] or "")


def check_data(data: DataConfig) -> None:
    """Raises UserError when no clips can be made or read so."""
    least, most = data.min_frames, data.max_frames
    if least > most:
        raise UserError(
            f"config.data.min_frames is {least}, and config.data.max_frames {most}: clips must have some length"
        )
    if data.source in MADE and not data.path:
        try:
            possible_actions(data.source, least, most, data.sequences)
        except UserError as error:
            raise UserError(f"config.data.min_frames {least}, config.data.max_frames {most}: {error}") from None


def check_run(config: RunConfig) -> None:
    """Raises UserError when there is nothing to train, or the stages that are run are none of the config's."""
    run, stages = config.run, config.stages
    for name in run:
        if name not in stages:
            raise UserError(f"config.run names a stage {name!r}; config.stages has: {', '.join(map(str, stages))}")
    if len({*run}) < len(run):
        raise UserError(f"config.run names a stage twice: {', '.join(run)}; each is run once")
    if not stages_to_run(config):
        left = "; a pretrained text branch is not pretrained again" if run else ""
        raise UserError(f"config.run names no stage to train{left}; config.stages has: {', '.join(map(str, stages))}")
    for name in run:
        if not FOLDER.holds(name):
            raise UserError(f"config.run names a stage {name!r}; its name must be {FOLDER.words}")


def stages_to_run(config: RunConfig) -> list[str]:
    """Names of the stages to run, in order."""
    return find_system(config.system).stages_to_run(config.values)


def check_stage(name: str, config: RunConfig, parameters: Mapping[str, tuple[int, ...]]) -> None:
    """Raises UserError when a stage cannot be trained as it is described; `parameters` are paths and shapes of all."""
    path, stage, kind = f"config.stages.{name}", config.stages[name], find_system(config.system)
    check_values(f"{path}.batch", stage.batch, BATCH, others=True)
    check_trainable(path, stage, parameters)
    if stage.templates:
        try:
            subtasks = load_templates(stage.templates, kind.tasks)
        except (UserError, OSError) as error:
            raise UserError(f"{path}.templates: {error}") from None
        check_tasks(path, stage, subtasks)
    kind.check_stage(name, config.values, path)
    check_encoder(path, stage, config, parameters)
    weights = kind.objective(stage.loss, stage.objective).term_weights
    check_value(f"{path}.best", stage.best, one_of("loss", *(f"loss/{term}" for term in weights if weights[term])))


def check_trainable(path: str, stage: StageConfig, parameters: Mapping[str, tuple[int, ...]]) -> None:
    """Raises UserError when a pattern matches no parameter, or none that it is for."""
    try:
        partition.check(list(parameters), stage.trainable)
    except UserError as error:
        raise UserError(f"{path}.trainable: {error}") from None
    trained = [name for name in parameters if partition.matches(name, stage.trainable)]
    groups = [pattern for pattern, _ in stage.optimizer.groups]
    for option, patterns in (("groups", groups), ("muon", stage.optimizer.muon)):
        for pattern in patterns:
            matched = [name for name in trained if re.fullmatch(pattern, name)]
            if not matched:
                raise UserError(f"{path}.optimizer.{option}: {pattern!r} matches no parameter that trains; correct it")
            flat = [name for name in matched if len(parameters[name]) < 2]
            if option == "muon" and flat:
                raise UserError(f"{path}.optimizer.muon: {pattern!r} matches {flat[0]}, which is no matrix; correct it")
    moments = [f"mu/{name}" for name in trained]
    moments += [f"nu/{name}" for name in trained if not partition.matches(name, stage.optimizer.muon)]
    for pattern, _ in stage.optimizer.moments:
        if not any(partition.matches(name, [pattern]) for name in moments):
            raise UserError(
                f"{path}.optimizer.moments: {pattern!r} matches no moment, such as {moments[0]}; correct it"
            )


def check_tasks(path: str, stage: StageConfig, subtasks: Mapping[str, Subtask]) -> None:
    """Raises UserError when there is no such sub-task, or none is visited."""
    names = [name for name, _ in stage.subtasks]
    unknown = [name for name in names if name not in subtasks]
    if unknown:
        raise UserError(f"{path}.subtasks names {unknown[0]!r}; the templates have: {', '.join(subtasks)}")
    if len({*names}) < len(names):
        raise UserError(f"{path}.subtasks names a sub-task twice: {', '.join(names)}")
    visited = {name for name, visits in stage.subtasks if visits} if names else {*subtasks}
    if not visited:
        raise UserError(f"{path}.subtasks gives no sub-task any visits; give one more than 0")


def check_places(config: RunConfig) -> None:
    """Raises UserError or FileNotFoundError when the data that a config names are not there, before any are built."""
    data = config.data
    if not data.path:
        if data.source not in MADE:
            raise UserError(f"config.data.path is empty; the source {data.source} is read from a folder: give it")
        return
    folder = local_folder(data.path)
    if not folder.is_dir():
        raise FileNotFoundError(f"config.data.path is {data.path!r}: there is no such folder")
    if is_remote(data.path) and not (folder / "metadata.json").is_file():
        raise UserError(
            f"config.data.path is {data.path!r}, where no built clips lie; other folders are read from local disks "
            "alone: build them with `motiongpt3 data build`, and copy what it writes there"
        )
    if not (folder / "metadata.json").is_file():
        if data.source in MADE:
            raise UserError(
                f"config.data.path is {data.path!r}, where no built clips lie; leave it out to have them made"
            )
        open_source(data.source, folder)
