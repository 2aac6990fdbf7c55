"""Validation of a model's `config.json`, and of the statistics of its features."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from motiongpt3_jax.data_pipelines.statistics import check_arrays
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.digests import SHA256, check_config_digest
from motiongpt3_jax.motion import SKELETONS, Skeleton
from motiongpt3_jax.motion.arrays import UnreadableArrayError
from motiongpt3_jax.systems.kind import SystemKind
from motiongpt3_jax.systems.registry import find_system, system_names
from motiongpt3_jax.text import check_words
from motiongpt3_jax.text.subtasks import PLACEHOLDER, PLACEHOLDERS
from motiongpt3_jax.values import (
    SECTION,
    TEXT,
    check_value,
    check_values,
    one_of,
    pair_of,
    real,
    sequence_of,
    whole,
)

ANEW = "export or download the model anew"
NEWEST = 2
"""The newest format of a folder that is read."""

LONGEST = 10**6
"""Frames of the longest clip that anyone has."""

FOLDER = {
    "format": whole(1, 10**6),
    "config": SECTION,
    "skeleton": one_of(*SKELETONS),
    "fps": real(1, 1000),
    "untrained": sequence_of(TEXT),
    "questions": SECTION,
    "learned": sequence_of(TEXT),
    SHA256: SECTION,
}
OPTIONAL = ("format", "untrained", "questions", "learned", SHA256)
CONFIG = {
    "system": TEXT,
    "seed": whole(0, 2**63 - 1),
    "model": SECTION,
    "data": SECTION,
    "run": sequence_of(TEXT),
    "stages": SECTION,
}
DATA = {"min_frames": whole(1, LONGEST), "max_frames": whole(1, LONGEST), "sequences": real(0, 1)}
"""What answers depend on; a run's own config is checked whole when it begins."""

STAGE = {"loss": TEXT, "templates": TEXT, "subtasks": sequence_of(pair_of(TEXT, real(0, 1e9)))}
STAGE_OPTIONAL = ("templates", "subtasks")
MOST_LENGTH = 10**7
"""Metres: larger than any deviation, mean or bone that describes a body."""


def check_folder_config(path: Path, config_json: Any) -> dict[str, Any]:
    """What a `config.json` says, in today's format.

    Args:
      path: the file.
      config_json: its content.

    Raises:
      UserError: it says what no model has; names the file, the key and what to do.
    """
    if not isinstance(config_json, Mapping) or not {"config", "skeleton", "fps"} <= config_json.keys():
        raise UserError(f"'{path}' is another program's; models of others come in with `motiongpt3 import`")
    check_installed(path, config_json["config"])
    try:
        check_values(path.name, config_json, FOLDER, OPTIONAL, others=True)
        version = config_json.get("format", 1)
        if version > NEWEST:
            raise UserError(
                f"its format {version} is newer than {NEWEST}, the newest that is read here: update this program"
            )
        kind, config = check_config(config_json["config"], version)
        for part in config_json.get("untrained", ()):
            check_value("untrained", part, one_of(*kind.weights.parts))
        for task in config_json.get("learned", ()):
            check_value("learned", task, one_of(*kind.tasks))
        for task, question in config_json.get("questions", {}).items():
            check_question(task, question, kind)
        for name, digest in config_json.get(SHA256, {}).items():
            check_value(f"{SHA256}.{name}", digest, TEXT)
    except UserError as error:
        raise UserError(f"'{path}' is damaged, or was edited: {error}; {ANEW}") from None
    check_config_digest(path, config_json)
    return {**config_json, "config": config}


def check_installed(path: Path, config: Any) -> None:
    """Raises UserError when a model is of a system that is not installed; one that names none is damaged."""
    name = config.get("system") if isinstance(config, Mapping) else None
    if isinstance(name, str) and name not in system_names():
        raise UserError(
            f"'{path}' describes a model of the system {name!r}, which is not installed; there are: "
            f"{', '.join(system_names())}"
        )


def check_config(config: Mapping[str, Any], version: int) -> tuple[SystemKind, Mapping[str, Any]]:
    """(the system of a model, its config in today's format).

    Raises:
      UserError: it has not what answers depend on.
    """
    check_values("config", config, CONFIG, others=True)
    kind = find_system(config["system"])
    config = kind.upgrade_config(config, version)
    kind.check_config(config, "config")
    check_values("config.data", config["data"], DATA, others=True)
    least, most = config["data"]["min_frames"], config["data"]["max_frames"]
    if least > most:
        raise UserError(f"config.data.min_frames is {least}, and max_frames {most}: clips must have some length")
    for name in config["run"]:
        if name not in config["stages"]:
            raise UserError(f"config.run names a stage {name!r} that config.stages does not describe")
    for name, stage in config["stages"].items():
        check_values(f"config.stages.{name}", stage, STAGE, STAGE_OPTIONAL, others=True)
    return kind, config


def check_question(task: Any, question: Any, kind: SystemKind) -> None:
    """Raises UserError when a question has not the placeholders that its task fills."""
    path = f"questions.{task}"
    if task not in kind.tasks:
        raise UserError(f"{path}: there is no such task; there are {', '.join(kind.tasks)}")
    check_value(path, question, TEXT)
    check_words(PLACEHOLDER.sub(" ", question))
    placeholders = PLACEHOLDER.findall(question)
    for name in placeholders:
        if name not in PLACEHOLDERS:
            raise UserError(f"{path} has the unknown placeholder {name}")
    motions, inputs = sum(PLACEHOLDERS[name] for name in placeholders), len(kind.tasks[task].input_spans)
    if motions != inputs:
        raise UserError(f"{path} has placeholders for {motions} motions, where {inputs} are given")
    if kind.tasks[task].role == "generate" and "<Caption_Placeholder>" not in placeholders:
        raise UserError(f"{path} has no <Caption_Placeholder>")


def is_question(task: str, question: str, kind: SystemKind) -> bool:
    """Whether a question has the placeholders that its task fills."""
    try:
        check_question(task, question, kind)
    except UserError:
        return False
    return True


def check_statistics(path: Path, arrays: Mapping[str, np.ndarray], skeleton: Skeleton) -> None:
    """Raises UserError when mean, deviation, bones or lengths describe no body.

    Args:
      path: the file.
      arrays: its content: mean, std, offsets and, in newer ones, lengths.
      skeleton: which joints the features describe.
    """
    try:
        check_arrays(arrays, skeleton, most=MOST_LENGTH)
    except UnreadableArrayError as error:
        raise UserError(f"'{path}' is damaged ({error.what}): {ANEW}") from None
    lengths = arrays.get("lengths", np.zeros(0))
    if lengths.ndim != 1 or lengths.dtype.kind not in "fiu":
        raise UserError(f"'{path}' is damaged: lengths has shape {lengths.shape} and type {lengths.dtype}: {ANEW}")
    if not np.all((lengths >= 1) & (lengths <= LONGEST)) or np.any(np.diff(lengths) < 0):
        raise UserError(f"'{path}' is damaged: lengths are no rising numbers of frames: {ANEW}")
