"""MotionGPT as the registry knows it: its config, its data layout, its tokens and its weights."""

from collections.abc import Mapping
from typing import Any

from motiongpt3_jax.batch import Layout
from motiongpt3_jax.models.attention_kernels import AUTO
from motiongpt3_jax.models.remat import policy_name
from motiongpt3_jax.systems.adapters import fill_adapters
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.motion_codes.check import (
    check_positions,
    fill_distance,
    read_layout,
    read_objective,
)
from motiongpt3_jax.systems.motion_codes.check_stage import check_stage
from motiongpt3_jax.systems.motion_codes.config import CodeModelConfig
from motiongpt3_jax.systems.motion_codes.kind import CodeModelKind, unpaired_samples
from motiongpt3_jax.systems.motion_codes.layout import PairLayout, TextLayout
from motiongpt3_jax.systems.motion_codes.prompts import load_subtasks
from motiongpt3_jax.systems.motion_codes.tokens import SENTINELS
from motiongpt3_jax.systems.motiongpt.build import build_config
from motiongpt3_jax.systems.motiongpt.check import read_model
from motiongpt3_jax.systems.motiongpt.exporter import export_pytorch
from motiongpt3_jax.systems.motiongpt.importer import MotionGPTImporter
from motiongpt3_jax.systems.motiongpt.parts import PART_SIZES, PARTS
from motiongpt3_jax.systems.motiongpt.pretrained import pretrained_t5, published_names
from motiongpt3_jax.systems.motiongpt.prompts import OFFICIAL_QUESTIONS
from motiongpt3_jax.systems.motiongpt.sections import STREAMS
from motiongpt3_jax.systems.motiongpt.t5_weights import t5_files
from motiongpt3_jax.systems.weights import Weights
from motiongpt3_jax.text import TokenSpec
from motiongpt3_jax.text.tokenizer import BPE, UNIGRAM
from motiongpt3_jax.values import SECTION, check_values

LAYOUTS = {"t5": PairLayout, "gpt2": TextLayout}
"""How sequences are laid out for each kind of language model."""

TOKENIZERS = {"t5": TokenSpec(kinds=(UNIGRAM,), sentinels=SENTINELS), "gpt2": TokenSpec(kinds=(BPE,))}
"""The tokenizer of each kind of language model; ids of motions are counted on from its own, so it adds none."""


class MotionGPTKind(CodeModelKind):
    """The entry of the registry; see `systems.kind.SystemKind`."""

    name = "motiongpt"
    title = "MotionGPT"
    styles = OFFICIAL_QUESTIONS
    weights = Weights(
        parts=PARTS,
        part_sizes=PART_SIZES,
        state_part="tokenizer",
        tokenizer_part="language",
        statistics_part="tokenizer",
        captions_part="language",
        pretrained=pretrained_t5,
        pretrained_part="language",
        pretrained_files=t5_files,
        importer=MotionGPTImporter(),
        exporters={"pytorch": export_pytorch},
        published_names=published_names,
    )

    def tokens(self, config: Mapping[str, Any]) -> TokenSpec:
        """T5's kind of tokenizer, or GPT-2's."""
        return TOKENIZERS[config["model"]["lm"]]

    def check_config(self, config: Mapping[str, Any], path: str) -> None:
        """Checks `model` and `layout`."""
        check_values(path, config, {"model": SECTION, "layout": SECTION}, others=True)
        model = read_model(config["model"], f"{path}.model")
        check_positions(model.language.max_positions, read_layout(config["layout"], f"{path}.layout"), path)

    def check_stage(self, name: str, config: Mapping[str, Any], path: str) -> None:
        """Checks loss, objective, batch and tasks of a stage."""
        lm = config["model"]["lm"]
        check_stage(name, config, path, lm, STREAMS[lm])

    def upgrade_config(self, config: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """The config of an older folder: policies of rematerialization had no names, and attention no dropout."""
        del version  # values tell
        if isinstance(config.get("stages"), Mapping):
            config = {**config, "stages": fill_distance(fill_adapters(config["stages"]))}
        model = config.get("model")
        if not isinstance(model, Mapping):
            return config
        if "dropout" in model:
            model = {"attention_dropout": model["dropout"], "attention": AUTO, "lora": {}, **model}
        language = model.get("language")
        if isinstance(language, Mapping) and "remat" in language:
            model = {**model, "language": {**language, "remat": policy_name(language["remat"])}}
        return {**config, "model": model}

    def sizes(self, spec: ModelSpec) -> CodeModelConfig:
        """The sizes of a model."""
        return build_config(spec)

    def language_layout(self, stage: Mapping[str, Any], spec: ModelSpec) -> Layout:
        """Questions and answers in two streams for a T5, in one for a decoder alone."""
        options = read_layout(spec.config["layout"])
        subtasks = load_subtasks(stage["templates"], options.official)
        unpaired = unpaired_samples(read_objective(stage["loss"], stage["objective"]))
        layout = LAYOUTS[spec.config["model"]["lm"]]
        return layout(spec.tokenizer, self.motion_tokens(spec), subtasks, options, spec.fps, unpaired)

    def describe(self, config: Mapping[str, Any]) -> str:
        """Which language model."""
        model = config["model"]
        return f"MotionGPT with a {model['lm'].upper().replace('GPT2', 'GPT-2')} and {model['vqvae']['codes']} codes"


KIND = MotionGPTKind()
