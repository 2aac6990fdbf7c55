"""MotionLLM as the registry knows it: its config, its data layout, its tokens and its weights."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from motiongpt3_jax.batch import Layout
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
from motiongpt3_jax.systems.motion_codes.kind import CodeModelKind, unpaired_samples
from motiongpt3_jax.systems.motion_codes.layout import TextLayout
from motiongpt3_jax.systems.motion_codes.prompts import load_subtasks
from motiongpt3_jax.systems.motion_codes.system import CodeModel
from motiongpt3_jax.systems.motion_codes.tokens import MotionTokens
from motiongpt3_jax.systems.motionllm.answers import OfficialAnswers
from motiongpt3_jax.systems.motionllm.build import build_config
from motiongpt3_jax.systems.motionllm.check import read_model
from motiongpt3_jax.systems.motionllm.exporter import export_pytorch
from motiongpt3_jax.systems.motionllm.importer import MotionLLMImporter
from motiongpt3_jax.systems.motionllm.layout import OfficialLayout
from motiongpt3_jax.systems.motionllm.parts import PART_SIZES, PARTS
from motiongpt3_jax.systems.motionllm.pretrained import pretrained_files, pretrained_language, published_names
from motiongpt3_jax.systems.motionllm.prompts import official_questions
from motiongpt3_jax.systems.motionllm.sections import STREAMS
from motiongpt3_jax.systems.motionllm.tokens import TOKEN_SPEC, motion_tokens
from motiongpt3_jax.systems.weights import Weights
from motiongpt3_jax.text import TokenSpec
from motiongpt3_jax.values import SECTION, check_values


class MotionLLMKind(CodeModelKind):
    """The entry of the registry; see `systems.kind.SystemKind`."""

    name = "motionllm"
    title = "MotionLLM"
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
        """Checks `model` and `layout`."""
        check_values(path, config, {"model": SECTION, "layout": SECTION}, others=True)
        model = read_model(config["model"], f"{path}.model")
        check_positions(model.language.max_positions, read_layout(config["layout"], f"{path}.layout"), path)

    def check_stage(self, name: str, config: Mapping[str, Any], path: str) -> None:
        """Checks loss, objective, batch and tasks of a stage."""
        check_stage(name, config, path, "MotionLLM", STREAMS)

    def upgrade_config(self, config: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """The config of an older folder: the distance of the tokenizer's loss and the base's dtype had no choice."""
        del version  # values tell
        if isinstance(config.get("stages"), Mapping):
            config = {**config, "stages": fill_distance(config["stages"])}
        if isinstance(config.get("model"), Mapping):
            config = {**config, "model": {"base_dtype": "float32", **config["model"]}}
        return config

    def heads(self, model: Mapping[str, Any]) -> int:
        """Those of the language model's keys and values, which divide the others."""
        return model["language"]["kv_heads"] or model["language"]["heads"]

    def stages_to_run(self, config: Mapping[str, Any]) -> list[str]:
        """A pretrained language model is not pretrained again."""
        return [name for name in config["run"] if name != "pretrain" or not config["pretrained"]]

    def sizes(self, spec: ModelSpec) -> CodeModelConfig:
        """The sizes of a model."""
        return build_config(spec)

    def motion_tokens(self, spec: ModelSpec) -> MotionTokens:
        """The ids behind those of the tokenizer."""
        return motion_tokens(spec.tokenizer, spec.config["model"]["vqvae"]["codes"])

    def make_answers(self, spec: ModelSpec, system: CodeModel) -> CodeModelAnswers:
        """The model as it is asked, or as the published code asks it."""
        answers = OfficialAnswers if read_layout(spec.config["layout"]).official else CodeModelAnswers
        return answers(spec, system, self.motion_tokens(spec))

    def language_layout(self, stage: Mapping[str, Any], spec: ModelSpec) -> Layout:
        """Question and answer as one text."""
        options = read_layout(spec.config["layout"])
        layout = OfficialLayout if options.official else TextLayout
        subtasks = load_subtasks(stage["templates"], options.official)
        unpaired = unpaired_samples(read_objective(stage["loss"], stage["objective"]))
        return layout(spec.tokenizer, self.motion_tokens(spec), subtasks, options, spec.fps, unpaired)

    def describe(self, config: Mapping[str, Any]) -> str:
        """Which language model, and what it has learned motion with."""
        language, adapters = config["model"]["language"], config["model"]["lora"]
        ranks = ", ".join(f"{name} of rank {section['rank']}" for name, section in adapters.items())
        base = config["pretrained"] or f"{language['layers']} layers of the family {language['family']}"
        return f"MotionLLM on {base}" + (f" with the LoRA adapters {ranks}" if ranks else "")


KIND = MotionLLMKind()
