"""Validation of a config, whole and once, before anything of a run is built or written."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from flax.traverse_util import flatten_dict

from motiongpt3_jax.data_pipelines.humanml3d import open_folder
from motiongpt3_jax.data_pipelines.procedural import Options, possible_moves
from motiongpt3_jax.data_pipelines.sources import SOURCES
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.check_folder import LONGEST
from motiongpt3_jax.systems.interface import ModelSpec, SystemKind
from motiongpt3_jax.systems.registry import find_system, system_names
from motiongpt3_jax.text import Subtask, Tokenizer, load_templates
from motiongpt3_jax.text.tokenizer import check_size
from motiongpt3_jax.training import partition
from motiongpt3_jax.values import (
    FLAG,
    NAME,
    PATTERN,
    SECTION,
    TEXT,
    Rule,
    check_value,
    check_values,
    none_or,
    one_of,
    pair_of,
    real,
    sequence_of,
    whole,
)

STEPS = whole(1, 10**9)
EVERY = whole(0, 10**9)
"""Steps between two events; 0 is never."""

CONFIG = {
    "system": NAME,
    "seed": whole(0, 2**31 - 1),
    "model": SECTION,
    "start": TEXT,
    "data": SECTION,
    "mesh": SECTION,
    "run": sequence_of(NAME),
    "stages": SECTION,
}
"""What the config of every system has; `system_values` are those of one."""

DATA = {
    "source": one_of(*SOURCES),
    "path": TEXT,
    "min_frames": whole(1, LONGEST),
    "max_frames": whole(1, LONGEST),
    "on_bad": one_of("stop", "skip"),
    "clips": whole(1, 10**8),
    "sequences": real(0, 1),
    "shuffle": FLAG,
    "crop": FLAG,
    "workers": whole(0, 1024),
}
MESH = {
    "data": Rule("a whole number from 1 on, or -1", lambda value: whole(1, 2**20).holds(value) or value == -1),
    "fsdp": whole(1, 2**20),
    "tensor": whole(1, 2**20),
}
STAGE = {
    "loss": NAME,
    "objective": SECTION,
    "trainable": sequence_of(PATTERN, least=1),
    "steps": STEPS,
    "optimizer": SECTION,
    "batch": SECTION,
    "templates": TEXT,
    "subtasks": sequence_of(pair_of(NAME, real(0, 1e6))),
    "log_every": STEPS,
    "evaluate_every": EVERY,
    "checkpoint_every": STEPS,
    "keep_every": EVERY,
    "sample_every": EVERY,
    "validation_batches": EVERY,
}
OPTIMIZER = {
    "learning_rate": real(0, 1e3),
    "groups": sequence_of(pair_of(PATTERN, real(0, 1e6))),
    "b1": real(0, 1, below=True),
    "b2": real(0, 1, below=True),
    "eps": real(0, 1, above=True),
    "weight_decay": real(0, 1e3),
    "muon": sequence_of(PATTERN),
    "clip_norm": none_or(real(0, 1e9, above=True)),
    "warmup_steps": none_or(EVERY),
    "schedule": one_of("constant", "cosine"),
    "final_learning_rate": real(0, 1e3),
    "accumulate": whole(1, 10**6),
    "ema": none_or(real(0, 1, below=True)),
}
FOLDER = Rule(
    "the name of a folder", lambda value: NAME.holds(value) and value not in (".", "..") and not set(value) & {*"/\\"}
)
TRAINED = re.compile(r"train:(.*)", re.DOTALL)
"""A tokenizer that is trained on the captions, and its size."""


def check_config(config: Mapping[str, Any]) -> None:
    """Raises UserError when a value of a config is none, or does not go with another; says which, and what is.

    Looks at nothing but the config, and at the files of templates that it names: what else it names may be gone when
    a run goes on.

    Args:
      config: plain values.
    """
    check_values("config", config, {"system": NAME}, others=True)
    check_value("config.system", config["system"], one_of(*system_names()))
    kind = find_system(config["system"])
    check_values("config", config, {**CONFIG, **system_values(kind)})
    kind.check_config(config, "config")
    check_values("config.mesh", config["mesh"], MESH)
    check_data(config["data"])
    if kind.tokens is not None and trained_size(config["tokenizer"]) and config.get("pretrained"):
        raise UserError(
            f"config.pretrained is {config['pretrained']!r}, and config.tokenizer {config['tokenizer']!r}: it "
            "needs the tokenizer that it was trained with; set config.tokenizer to its folder or hub name"
        )
    check_run(config)
    parameters = parameter_shapes(config)
    for name in config["run"]:
        check_stage(name, config, parameters)


def system_values(kind: SystemKind) -> dict[str, Rule]:
    """What the config of one system has beside `CONFIG`."""
    tokenizer = {} if kind.tokens is None else {"tokenizer": NAME}
    pretrained = {} if kind.weights.pretrained is None else {"pretrained": TEXT}
    return {**tokenizer, **pretrained, **dict.fromkeys(kind.sections, SECTION)}


def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Paths and shapes of all parameters; which there are does not depend on the features and the vocabulary."""
    kind = find_system(config["system"])
    tokenizer = None if kind.tokens is None else Tokenizer(None, 1, kind.tokens.added, kind.tokens.kinds[0])
    system = kind.make_system(ModelSpec(config, 1, tokenizer))
    params = jax.eval_shape(system.init, jax.random.key(0)).params
    return {name: array.shape for name, array in flatten_dict(params, sep="/").items()}


def trained_size(tokenizer: str) -> int | None:
    """The size of a tokenizer that is to be trained on the captions; None for one that is named.

    Raises:
      UserError: it is no size.
    """
    found = TRAINED.fullmatch(tokenizer)
    if not found:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", found[1]):
        raise UserError(f"config.tokenizer is {tokenizer!r}; write train:SIZE, for example train:1024")
    check_size(int(found[1]))
    return int(found[1])


def check_data(data: Mapping[str, Any]) -> None:
    """Raises UserError when no clips can be made or read so."""
    check_values("config.data", data, DATA)
    least, most = data["min_frames"], data["max_frames"]
    if least > most:
        raise UserError(
            f"config.data.min_frames is {least}, and config.data.max_frames {most}: clips must have some length"
        )
    if data["source"] == "procedural" and not data["path"]:
        # Its frames are those of joints, of which features lose one.
        try:
            possible_moves(Options(least + 1, most + 1, data["sequences"]))
        except UserError as error:
            raise UserError(f"config.data.min_frames {least}, config.data.max_frames {most}: {error}") from None


def check_run(config: Mapping[str, Any]) -> None:
    """Raises UserError when there is nothing to train, or the stages that are run are none of the config's."""
    run, stages = config["run"], config["stages"]
    for name in run:
        if name not in stages:
            raise UserError(f"config.run names a stage {name!r}; config.stages has: {', '.join(map(str, stages))}")
    if len({*run}) < len(run):
        raise UserError(f"config.run names a stage twice: {', '.join(run)}; each is run once")
    if not stages_to_run(config):
        left = "; a pretrained text branch is not pretrained again" if run else ""
        raise UserError(f"config.run names no stage to train{left}; config.stages has: {', '.join(stages)}")
    for name in run:
        if not FOLDER.holds(name):
            raise UserError(f"config.run names a stage {name!r}; its name must be {FOLDER.words}")


def stages_to_run(config: Mapping[str, Any]) -> list[str]:
    """Names of the stages to run, in order."""
    return find_system(config["system"]).stages_to_run(config)


def check_stage(name: str, config: Mapping[str, Any], parameters: Mapping[str, tuple[int, ...]]) -> None:
    """Raises UserError when a stage cannot be trained as it is described; `parameters` are paths and shapes of all."""
    path, stage = f"config.stages.{name}", config["stages"][name]
    check_values(path, stage, STAGE)
    check_values(f"{path}.optimizer", stage["optimizer"], OPTIMIZER, optional=("eps",))
    kind = find_system(config["system"])
    check_trainable(path, stage, parameters)
    if stage["templates"]:
        try:
            subtasks = load_templates(stage["templates"], kind.tasks)
        except (UserError, OSError) as error:
            raise UserError(f"{path}.templates: {error}") from None
        check_tasks(path, stage, subtasks)
    kind.check_stage(name, config, path)


def check_trainable(path: str, stage: Mapping[str, Any], parameters: Mapping[str, tuple[int, ...]]) -> None:
    """Raises UserError when a pattern matches no parameter, or none that it is for."""
    try:
        partition.check(list(parameters), stage["trainable"])
    except UserError as error:
        raise UserError(f"{path}.trainable: {error}") from None
    trained = [name for name in parameters if partition.matches(name, stage["trainable"])]
    groups = [pattern for pattern, _ in stage["optimizer"]["groups"]]
    for option, patterns in (("groups", groups), ("muon", stage["optimizer"]["muon"])):
        for pattern in patterns:
            matched = [name for name in trained if re.fullmatch(pattern, name)]
            if not matched:
                raise UserError(f"{path}.optimizer.{option}: {pattern!r} matches no parameter that trains; correct it")
            flat = [name for name in matched if len(parameters[name]) < 2]
            if option == "muon" and flat:
                raise UserError(f"{path}.optimizer.muon: {pattern!r} matches {flat[0]}, which is no matrix; correct it")


def check_tasks(path: str, stage: Mapping[str, Any], subtasks: Mapping[str, Subtask]) -> None:
    """Raises UserError when there is no such sub-task, or none is visited."""
    names = [name for name, _ in stage["subtasks"]]
    unknown = [name for name in names if name not in subtasks]
    if unknown:
        raise UserError(f"{path}.subtasks names {unknown[0]!r}; the templates have: {', '.join(subtasks)}")
    if len({*names}) < len(names):
        raise UserError(f"{path}.subtasks names a sub-task twice: {', '.join(names)}")
    visited = {name for name, visits in stage["subtasks"] if visits} if names else {*subtasks}
    if not visited:
        raise UserError(f"{path}.subtasks gives no sub-task any visits; give one more than 0")


def check_places(config: Mapping[str, Any]) -> None:
    """Raises UserError or FileNotFoundError when the data that a config names are not there, before any are built."""
    data = config["data"]
    if not data["path"]:
        if data["source"] != "procedural":
            raise UserError(f"config.data.path is empty; the source {data['source']} is read from a folder: give it")
        return
    folder = Path(os.path.expanduser(data["path"]))
    if not folder.is_dir():
        raise FileNotFoundError(f"config.data.path is {data['path']!r}: there is no such folder")
    if not (folder / "metadata.json").is_file():
        if data["source"] == "procedural":
            raise UserError(
                f"config.data.path is {data['path']!r}, where no built clips lie; leave it out to have them made"
            )
        open_folder(folder)
