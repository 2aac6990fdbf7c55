"""Validation of a stage of a config: its loss, batch and tasks."""

from collections.abc import Mapping
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.adapters import check_used_adapter
from motiongpt3_jax.systems.motion_codes.check import OBJECTIVES, read_objective
from motiongpt3_jax.systems.motion_codes.config import LanguageObjective
from motiongpt3_jax.systems.motion_codes.prompts import load_subtasks
from motiongpt3_jax.systems.motion_codes.sections import BatchSection
from motiongpt3_jax.systems.motion_codes.tokens import FRAMES_PER_CODE
from motiongpt3_jax.text import ALL_TASKS
from motiongpt3_jax.values import check_value, from_values, one_of


def check_stage(name: str, config: Mapping[str, Any], path: str, lm: str, streams: tuple[str, ...]) -> None:
    """Raises UserError when a stage cannot be trained as it is described.

    Args:
      name: of the stage.
      config: the whole config.
      path: where the stage stands, as errors name it.
      lm: kind of the language model, as errors name it.
      streams: of the language model.
    """
    stage = config["stages"][name]
    check_value(f"{path}.loss", stage["loss"], one_of(*OBJECTIVES))
    objective = read_objective(stage["loss"], stage["objective"], f"{path}.objective")
    batch = from_values(BatchSection, stage["batch"], f"{path}.batch")
    if isinstance(objective, LanguageObjective):
        check_language(path, config, stage, objective, batch)
        check_slots(path, batch, config["layout"]["max_length"], lm, streams)
    elif stage["templates"]:
        raise UserError(f"{path}.templates is {stage['templates']!r}; the loss tokenizer reads no text: leave it empty")
    check_clips(path, batch, config)


def check_clips(path: str, batch: BatchSection, config: Mapping[str, Any]) -> None:
    """Raises UserError when clips find no room in a batch, or make no code."""
    frames = [count for count, _ in batch.clips]
    if frames != sorted({*frames}):
        raise UserError(f"{path}.batch.clips has the lengths {frames}; order them from short to long, each once")
    if 0 < batch.window < FRAMES_PER_CODE:
        raise UserError(f"{path}.batch.window is {batch.window}, and a code stands for {FRAMES_PER_CODE} frames")
    most = config["data"]["max_frames"]
    most = min(most, batch.window or most)
    if frames[-1] < most:
        raise UserError(
            f"{path}.batch.clips has clips of {frames[-1]} frames at most, and {most} may come: add longer ones"
        )
    if config["data"]["min_frames"] < FRAMES_PER_CODE:
        raise UserError(
            f"config.data.min_frames is {config['data']['min_frames']}; a code stands for {FRAMES_PER_CODE}"
        )


def check_language(
    path: str, config: Mapping[str, Any], stage: Mapping[str, Any], objective: LanguageObjective, batch: BatchSection
) -> None:
    """Raises UserError when a stage of the language model has no templates, no such adapter or no room for a sample."""
    check_used_adapter(objective.adapter, config["model"]["lora"], f"{path}.objective.adapter")
    if not stage["templates"]:
        raise UserError(f"{path}.templates is empty; the loss language needs instruction templates")
    if batch.window:
        raise UserError(f"{path}.batch.window is {batch.window}; the loss language reads whole clips: set it to 0")
    if objective.unpaired > 1:
        raise UserError(f"{path}.objective: words_alone and motion_alone are {objective.unpaired:g} together, above 1")
    subtasks = load_subtasks(stage["templates"])
    visited = [name for name, visits in stage["subtasks"] if visits] or subtasks
    room = sum(count for _, count in batch.clips)
    for name in visited:
        task = ALL_TASKS[subtasks[name].task]
        if task.persons > config.get("pairs", {}).get("persons", 1):
            raise UserError(
                f"{path}: the sub-task {name!r} is about {task.persons} people, and the model knows one: leave it out, "
                "or take a system and config.pairs.persons that know two"
            )
        need = max(len(task.input_spans) + len(task.output_spans), task.persons)
        if room < need:
            raise UserError(
                f"{path}.batch.clips has room for {room}, and the sub-task {name!r} takes {need}: give more"
            )


def check_slots(path: str, batch: BatchSection, longest: int, lm: str, streams: tuple[str, ...]) -> None:
    """Raises UserError when a row has other streams than the language model, or no room for the longest sequence."""
    if {*batch.slots} != {*streams}:
        raise UserError(f"{path}.batch.slots has {', '.join(batch.slots) or 'no stream'}; a {lm} has {streams}")
    for stream, slots in batch.slots.items():
        if slots < longest:
            raise UserError(
                f"{path}.batch.slots.{stream} is {slots}, and config.layout.max_length {longest}: give a row room for "
                "the longest sequence"
            )
