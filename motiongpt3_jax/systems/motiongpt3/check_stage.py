"""Validation of what is MotionGPT3's own in a stage of a config: its loss, batch, tasks and positions."""

from collections.abc import Mapping
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.adapters import check_used_adapter
from motiongpt3_jax.systems.motiongpt3.check import OBJECTIVES, read_objective
from motiongpt3_jax.systems.motiongpt3.sections import BatchSection
from motiongpt3_jax.text import TASKS, Subtask, load_templates
from motiongpt3_jax.values import check_value, from_values, one_of


def check_stage(name: str, config: Mapping[str, Any], path: str) -> None:
    """Raises UserError when a stage cannot be trained as it is described.

    Args:
      name: of the stage.
      config: the whole config.
      path: where the stage stands, as errors name it.
    """
    stage = config["stages"][name]
    check_value(f"{path}.loss", stage["loss"], one_of(*OBJECTIVES))
    objective = read_objective(stage["loss"], stage["objective"], f"{path}.objective")
    batch = from_values(BatchSection, stage["batch"], f"{path}.batch")
    check_clips(path, batch, config)
    if stage["loss"] == "vae":
        if stage["templates"]:
            raise UserError(f"{path}.templates is {stage['templates']!r}; the loss vae reads no text: leave it empty")
        return
    check_used_adapter(objective.adapter, config["model"]["lora"], f"{path}.objective.adapter")
    if not stage["templates"]:
        raise UserError(f"{path}.templates is empty; the loss {stage['loss']} needs instruction templates")
    if stage["objective"]["vae_dropout"] and config["data"]["latents"] == "cached":
        raise UserError(f"{path}.objective.vae_dropout encodes anew in each step: set config.data.latents to online")
    check_room(path, stage, batch, load_templates(stage["templates"]))
    check_positions(path, config)


def check_clips(path: str, batch: BatchSection, config: Mapping[str, Any]) -> None:
    """Raises UserError when clips find no room in a batch, or in the VAE."""
    frames = [count for count, _ in batch.clips]
    if frames != sorted({*frames}):
        raise UserError(f"{path}.batch.clips has the lengths {frames}; order them from short to long, each once")
    vae, most = config["model"]["vae"], config["data"]["max_frames"]
    room = vae["max_frames"] - 2 * vae["latents"]
    if frames and frames[-1] > room:
        raise UserError(f"{path}.batch.clips has clips of {frames[-1]} frames; the VAE reads {room} at most")
    if frames and frames[-1] < most:
        raise UserError(
            f"{path}.batch.clips has clips of {frames[-1]} frames at most, and config.data.max_frames is {most}: "
            "add longer ones"
        )
    if not frames and not batch.text_slots:
        raise UserError(f"{path}.batch has no clips and no text_slots: nothing could be trained on")


def check_room(path: str, stage: Mapping[str, Any], batch: BatchSection, subtasks: Mapping[str, Subtask]) -> None:
    """Raises UserError when a row has no room for a sample of a sub-task."""
    names = [name for name, _ in stage["subtasks"]]
    visited = {name for name, visits in stage["subtasks"] if visits} if names else {*subtasks}
    if not batch.text_slots:
        raise UserError(f"{path}.batch.text_slots is 0; the loss {stage['loss']} needs room for text")
    for name in sorted(visited):
        task = TASKS[subtasks[name].task]
        clips, outputs = len(task.input_spans) + len(task.output_spans), len(task.output_spans)
        room = {"clips": sum(count for _, count in batch.clips), "outputs": batch.outputs}
        for key, need in (("clips", clips), ("outputs", outputs)):
            if room[key] < need:
                raise UserError(
                    f"{path}.batch.{key} has room for {room[key]}, and the sub-task {name!r} takes {need}: give more"
                )
        if clips and not batch.motion_slots:
            raise UserError(f"{path}.batch.motion_slots is 0, and the sub-task {name!r} has motions: give more")


def check_positions(path: str, config: Mapping[str, Any]) -> None:
    """Raises UserError when sequences may be longer than the decoder's table of positions."""
    length, offset = config["layout"]["max_length"], config["layout"]["max_position_offset"]
    most = config["model"]["decoder"]["max_positions"]
    if length + offset > most:
        raise UserError(
            f"{path}: config.layout.max_length {length} and config.layout.max_position_offset {offset} make sequences "
            f"that end beyond config.model.decoder.max_positions {most}: take fewer, or more positions"
        )
