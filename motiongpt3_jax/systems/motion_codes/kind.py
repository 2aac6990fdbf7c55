"""What the registry knows of every system whose language model reads and writes codes of motion."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from motiongpt3_jax.batch import Layout, RowShape
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.constrain import Constrain
from motiongpt3_jax.systems.interface import ModelSpec, Objective, Tree
from motiongpt3_jax.systems.motion_codes.answers import CodeModelAnswers
from motiongpt3_jax.systems.motion_codes.check import read_layout, read_objective
from motiongpt3_jax.systems.motion_codes.code_encoder import CodeEncoder
from motiongpt3_jax.systems.motion_codes.config import CodeModelConfig, LanguageObjective
from motiongpt3_jax.systems.motion_codes.drafts import UnpairedOptions
from motiongpt3_jax.systems.motion_codes.layout import TokenizerLayout
from motiongpt3_jax.systems.motion_codes.modules import Modules
from motiongpt3_jax.systems.motion_codes.prompts import load_subtasks
from motiongpt3_jax.systems.motion_codes.sections import BatchSection
from motiongpt3_jax.systems.motion_codes.system import CodeModel
from motiongpt3_jax.systems.motion_codes.tokens import MotionTokens
from motiongpt3_jax.text import ALL_TASKS, TASKS, Task
from motiongpt3_jax.values import Rule, from_values, one_of


class CodeModelKind(ABC):
    """The parts of a `systems.kind.SystemKind` that these systems have in common; sizes and language are each one's."""

    tasks = TASKS
    sections = ("layout",)
    data_options: Mapping[str, Rule] = MappingProxyType({"codes": one_of("online", "cached")})

    @abstractmethod
    def sizes(self, spec: ModelSpec) -> CodeModelConfig:
        """The sizes of a model."""

    def motion_tokens(self, spec: ModelSpec) -> MotionTokens:
        """The ids of motions."""
        return MotionTokens.of(spec.tokenizer, spec.config["model"]["vqvae"]["codes"])

    @abstractmethod
    def language_layout(self, stage: Mapping[str, Any], spec: ModelSpec) -> Layout:
        """How a stage of the language model lays its samples out."""

    def make_system(self, spec: ModelSpec, constrain: Constrain | None = None) -> CodeModel:
        """The model's functions."""
        return CodeModel(self.sizes(spec), constrain)

    def make_answers(self, spec: ModelSpec, system: CodeModel) -> CodeModelAnswers:
        """The model as it is asked."""
        return CodeModelAnswers(spec, system, self.motion_tokens(spec))

    def objective(self, loss: str, values: Mapping[str, Any]) -> Objective:
        """The objective of a loss."""
        return read_objective(loss, values)

    def heads(self, model: Mapping[str, Any]) -> int:
        """Those of the language model."""
        return model["language"]["heads"]

    def stages_to_run(self, config: Mapping[str, Any]) -> list[str]:
        """All of them."""
        return list(config["run"])

    def layout(self, stage: Mapping[str, Any], spec: ModelSpec) -> Layout:
        """Questions and answers where a stage has templates, else clips alone."""
        if not stage["templates"]:
            return TokenizerLayout(stage["batch"]["window"] or None)
        return self.language_layout(stage, spec)

    def row_shape(self, stage: Mapping[str, Any]) -> RowShape:
        """How much a row of a stage holds."""
        batch = from_values(BatchSection, stage["batch"], "batch")
        return RowShape(tuple(batch.slots.items()), batch.clips, batch.samples)

    def clip_encoder(self, stage: Mapping[str, Any], spec: ModelSpec) -> CodeEncoder | None:
        """The tokenizer of motion, where config.data.codes is "cached" and the stage reads texts with motions."""
        if spec.config["data"]["codes"] == "online" or not stage["templates"]:
            return None
        options, tasks = read_layout(spec.config["layout"]), tasks_of(stage)
        alone = read_objective(stage["loss"], stage["objective"]).motion_alone
        if not alone and not any(task.input_spans or task.output_spans for task in tasks):
            return None
        return CodeEncoder(Modules(self.sizes(spec)), () if options.official else tasks, options.official)

    def preview(self, stage: Mapping[str, Any]) -> Literal["reconstruct", "generate"] | None:
        """The tokenizer's stage shows motions that went through it, stages of motions those of sentences."""
        if stage["loss"] == "tokenizer":
            return "reconstruct"
        return "generate" if any(task.output_spans for task in tasks_of(stage)) else None

    def check_state(self, state: Tree) -> None:
        """Checks the codebook."""
        if np.any(np.asarray(state["codebook"]["counts"]) < 0):
            raise UserError("codes of its codebook are used less than never")


def tasks_of(stage: Mapping[str, Any]) -> tuple[Task, ...]:
    """The tasks of a stage's templates, each once."""
    return tuple(dict.fromkeys(ALL_TASKS[subtask.task] for subtask in load_subtasks(stage["templates"]).values()))


def unpaired_samples(objective: LanguageObjective) -> UnpairedOptions | None:
    """Which samples of a stage have no question; None where each has one."""
    if not objective.unpaired:
        return None
    return UnpairedOptions(objective.words_alone, objective.motion_alone, objective.hidden, objective.span)
