"""MotionLLM as the registry knows it: its config, its data layout, its tokens and its weights."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from motiongpt3_jax.batch import Layout
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.motion_codes.answers import CodeModelAnswers
from motiongpt3_jax.systems.motion_codes.check import (
    check_positions,
    fill_distance,
    read_layout,
    read_objective,
)
from motiongpt3_jax.systems.motion_codes.check_stage import check_stage
from motiongpt3_jax.systems.motion_codes.config import CodeModelConfig
from motiongpt3_jax.systems.motion_codes.kind import CodeModelKind, tasks_of, unpaired_samples
from motiongpt3_jax.systems.motion_codes.layout import TextLayout
from motiongpt3_jax.systems.motion_codes.pair_answers import PairAnswers
from motiongpt3_jax.systems.motion_codes.pair_layout import PairTextLayout
from motiongpt3_jax.systems.motion_codes.pair_sequences import PairSequences
from motiongpt3_jax.systems.motion_codes.prompts import load_subtasks
from motiongpt3_jax.systems.motion_codes.system import CodeModel
from motiongpt3_jax.systems.motion_codes.tokens import MotionTokens
from motiongpt3_jax.systems.motionllm.answers import OfficialAnswers
from motiongpt3_jax.systems.motionllm.build import build_config
from motiongpt3_jax.systems.motionllm.check import read_model, read_pairs
from motiongpt3_jax.systems.motionllm.exporter import export_pytorch
from motiongpt3_jax.systems.motionllm.importer import MotionLLMImporter
from motiongpt3_jax.systems.motionllm.layout import OfficialLayout
from motiongpt3_jax.systems.motionllm.parts import PART_SIZES, PARTS
from motiongpt3_jax.systems.motionllm.pretrained import pretrained_files, pretrained_language, published_names
from motiongpt3_jax.systems.motionllm.prompts import official_questions
from motiongpt3_jax.systems.motionllm.sections import ONE_PERSON, STREAMS
from motiongpt3_jax.systems.motionllm.tokens import TOKEN_SPEC, motion_tokens, pair_tokens
from motiongpt3_jax.systems.weights import Weights
from motiongpt3_jax.text import ALL_TASKS, Task, TokenSpec
from motiongpt3_jax.values import SECTION, check_values

TEMPERATURE = 0.7
"""Of drawn codes, where the paper searches the best: motions vary, and more show what was asked than at 1."""


class MotionLLMKind(CodeModelKind):
    """The entry of the registry; see `systems.kind.SystemKind`."""

    name = "motionllm"
    title = "MotionLLM"
    tasks = ALL_TASKS
    sections = (*CodeModelKind.sections, "pairs")
    weights = Weights(
        parts=PARTS,
        part_sizes=PART_SIZES,
        state_part="tokenizer",
        tokenizer_part="language",
        statistics_part="tokenizer",
        captions_part="motion",
        pretrained=pretrained_language,
        pretrained_part="language",
        pretrained_files=pretrained_files,
        importer=MotionLLMImporter(),
        exporters={"pytorch": export_pytorch},
        adapter_formats=("pytorch",),
        published_names=published_names,
    )

    @cached_property
    def styles(self) -> Mapping[str, Mapping[str, str]]:
        """How the published code asks."""
        return official_questions()

    def tokens(self, config: Mapping[str, Any]) -> TokenSpec:
        """Any language model's."""
        del config
        return TOKEN_SPEC

    def check_config(self, config: Mapping[str, Any], path: str) -> None:
        """Checks `model`, `layout` and `pairs`."""
        check_values(path, config, {"model": SECTION, "layout": SECTION, "pairs": SECTION}, others=True)
        model, layout = read_model(config["model"], f"{path}.model"), read_layout(config["layout"], f"{path}.layout")
        check_positions(model.language.max_positions, layout, path)
        if read_pairs(config["pairs"], f"{path}.pairs").persons == 1:
            return
        if layout.official:
            raise UserError(
                f"{path}.pairs.persons is 2, and the published code knows one: set layout.official to False"
            )
        if not config["start"]:
            raise UserError(
                f"{path}.start is empty; a model of two people starts from a run or a model of one: name it, as in "
                "--config.start=runs/motionllm"
            )

    def check_stage(self, name: str, config: Mapping[str, Any], path: str) -> None:
        """Checks loss, objective, batch and tasks of a stage."""
        check_stage(name, config, path, "MotionLLM", STREAMS)

    def upgrade_config(self, config: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """The config of an older folder: one person, and no choice of the loss's distance nor of the base's dtype."""
        del version  # values tell
        config = {"pairs": ONE_PERSON, **config}
        if isinstance(config.get("stages"), Mapping):
            config["stages"] = fill_distance(config["stages"])
        if isinstance(config.get("model"), Mapping):
            config["model"] = {"base_dtype": "float32", **config["model"]}
        return config

    def heads(self, model: Mapping[str, Any]) -> int:
        """Those of the language model's keys and values, which divide the others."""
        return model["language"]["kv_heads"] or model["language"]["heads"]

    def stages_to_run(self, config: Mapping[str, Any]) -> list[str]:
        """A pretrained language model is not pretrained again, nor what one person does learned again before two."""
        names = [name for name in config["run"] if name != "pretrain" or not config["pretrained"]]
        if config["pairs"]["persons"] == 1:
            return names
        tasks = {name: _tasks_of(config["stages"][name]) for name in names}
        return [name for name in names if not tasks[name] or any(map(_not_of_one, tasks[name]))]

    def sizes(self, spec: ModelSpec) -> CodeModelConfig:
        """The sizes of a model."""
        return build_config(spec)

    def motion_tokens(self, spec: ModelSpec) -> MotionTokens:
        """The ids behind those of the tokenizer."""
        codes, persons = spec.config["model"]["vqvae"]["codes"], read_pairs(spec.config["pairs"]).persons
        return motion_tokens(spec.tokenizer, codes, persons)

    def pair_sequences(self, spec: ModelSpec) -> PairSequences | None:
        """How two people are written; None for a model of one."""
        pairs = read_pairs(spec.config["pairs"])
        if pairs.persons == 1:
            return None
        return PairSequences(pair_tokens(self.motion_tokens(spec)), pairs.order, pairs.anchors)

    def make_answers(self, spec: ModelSpec, system: CodeModel) -> CodeModelAnswers:
        """The model as it is asked, or as the published code asks it."""
        tokens, sequences = self.motion_tokens(spec), self.pair_sequences(spec)
        if sequences:
            return PairAnswers(spec, system, tokens, sequences, TEMPERATURE)
        if read_layout(spec.config["layout"]).official:
            return OfficialAnswers(spec, system, tokens)
        return CodeModelAnswers(spec, system, tokens, TEMPERATURE)

    def language_layout(self, stage: Mapping[str, Any], spec: ModelSpec) -> Layout:
        """Question and answer as one text."""
        options = read_layout(spec.config["layout"])
        layout = OfficialLayout if options.official else TextLayout
        subtasks = load_subtasks(stage["templates"], options.official)
        unpaired = unpaired_samples(read_objective(stage["loss"], stage["objective"]))
        shared = (spec.tokenizer, self.motion_tokens(spec), subtasks, options, spec.fps, unpaired)
        sequences = self.pair_sequences(spec)
        return PairTextLayout(*shared, sequences) if sequences else layout(*shared)

    def describe(self, config: Mapping[str, Any]) -> str:
        """Which language model, and what it has learned motion with."""
        language, adapters = config["model"]["language"], config["model"]["lora"]
        ranks = ", ".join(f"{name} of rank {section['rank']}" for name, section in adapters.items())
        base = config["pretrained"] or f"{language['layers']} layers of the family {language['family']}"
        return f"MotionLLM on {base}" + (f" with the LoRA adapters {ranks}" if ranks else "")


def _tasks_of(stage: Mapping[str, Any]) -> tuple[Task, ...]:
    return tasks_of(stage) if stage["templates"] else ()


def _not_of_one(task: Task) -> bool:
    """Whether a task is about two people, or about words alone."""
    return task.persons > 1 or not (task.input_spans or task.output_spans)


KIND = MotionLLMKind()
