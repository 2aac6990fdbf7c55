"""MotionGPT as the registry knows it: its config, its data layout, its tokens and its weights."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from motiongpt3_jax.batch import Layout, RowShape
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.attention_kernels import AUTO
from motiongpt3_jax.models.constrain import Constrain
from motiongpt3_jax.models.remat import policy_name
from motiongpt3_jax.systems.adapters import fill_adapters
from motiongpt3_jax.systems.interface import ModelSpec, Objective, Tree
from motiongpt3_jax.systems.motiongpt.answers import MotionGPTAnswers
from motiongpt3_jax.systems.motiongpt.build import build_config
from motiongpt3_jax.systems.motiongpt.check import check_positions, read_layout, read_model, read_objective
from motiongpt3_jax.systems.motiongpt.check_stage import check_stage
from motiongpt3_jax.systems.motiongpt.code_encoder import CodeEncoder
from motiongpt3_jax.systems.motiongpt.config import LanguageObjective
from motiongpt3_jax.systems.motiongpt.drafts import UnpairedOptions
from motiongpt3_jax.systems.motiongpt.exporter import export_pytorch
from motiongpt3_jax.systems.motiongpt.importer import MotionGPTImporter
from motiongpt3_jax.systems.motiongpt.layout import PairLayout, TextLayout, TokenizerLayout
from motiongpt3_jax.systems.motiongpt.modules import Modules
from motiongpt3_jax.systems.motiongpt.parts import PART_SIZES, PARTS
from motiongpt3_jax.systems.motiongpt.pretrained import pretrained_t5, published_names
from motiongpt3_jax.systems.motiongpt.prompts import OFFICIAL_QUESTIONS, load_subtasks
from motiongpt3_jax.systems.motiongpt.sections import BatchSection
from motiongpt3_jax.systems.motiongpt.system import MotionGPT
from motiongpt3_jax.systems.motiongpt.t5_weights import t5_files
from motiongpt3_jax.systems.motiongpt.tokens import TOKENIZERS, MotionTokens
from motiongpt3_jax.systems.weights import Weights
from motiongpt3_jax.text import TASKS, TokenSpec
from motiongpt3_jax.values import SECTION, Rule, check_values, from_values, one_of

LAYOUTS = {"t5": PairLayout, "gpt2": TextLayout}
"""How sequences are laid out for each kind of language model."""


class MotionGPTKind:
    """The entry of the registry; see `systems.kind.SystemKind`."""

    name = "motiongpt"
    title = "MotionGPT"
    tasks = TASKS
    styles = OFFICIAL_QUESTIONS
    sections = ("layout",)
    data_options: Mapping[str, Rule] = MappingProxyType({"codes": one_of("online", "cached")})
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
        check_positions(model, read_layout(config["layout"], f"{path}.layout"), path)

    def check_stage(self, name: str, config: Mapping[str, Any], path: str) -> None:
        """Checks loss, objective, batch and tasks of a stage."""
        check_stage(name, config, path)

    def upgrade_config(self, config: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """The config of an older folder: policies of rematerialization had no names, and attention no dropout."""
        del version  # values tell
        if isinstance(config.get("stages"), Mapping):
            config = {**config, "stages": fill_adapters(config["stages"])}
        model = config.get("model")
        if not isinstance(model, Mapping):
            return config
        if "dropout" in model:
            model = {"attention_dropout": model["dropout"], "attention": AUTO, "lora": {}, **model}
        language = model.get("language")
        if isinstance(language, Mapping) and "remat" in language:
            model = {**model, "language": {**language, "remat": policy_name(language["remat"])}}
        return {**config, "model": model}

    def make_system(self, spec: ModelSpec, constrain: Constrain | None = None) -> MotionGPT:
        """The model's functions."""
        return MotionGPT(build_config(spec), constrain)

    def make_answers(self, spec: ModelSpec, system: MotionGPT) -> MotionGPTAnswers:
        """The model as it is asked."""
        return MotionGPTAnswers(spec, system)

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
        model, options = read_model(spec.config["model"]), read_layout(spec.config["layout"])
        subtasks = load_subtasks(stage["templates"], options.official)
        tokens = MotionTokens.of(spec.tokenizer, model.vqvae.codes)
        unpaired = _unpaired(read_objective(stage["loss"], stage["objective"]))
        return LAYOUTS[model.lm](spec.tokenizer, tokens, subtasks, options, spec.fps, unpaired)

    def row_shape(self, stage: Mapping[str, Any]) -> RowShape:
        """How much a row of a stage holds."""
        batch = from_values(BatchSection, stage["batch"], "batch")
        return RowShape(tuple(batch.slots.items()), batch.clips, batch.samples)

    def clip_encoder(self, stage: Mapping[str, Any], spec: ModelSpec) -> CodeEncoder | None:
        """The tokenizer of motion, where config.data.codes is "cached" and the stage reads texts."""
        if spec.config["data"]["codes"] == "online" or not stage["templates"]:
            return None
        options = read_layout(spec.config["layout"])
        tasks = [] if options.official else [TASKS[x.task] for x in load_subtasks(stage["templates"]).values()]
        return CodeEncoder(Modules(build_config(spec)), tuple(dict.fromkeys(tasks)), options.official)

    def preview(self, stage: Mapping[str, Any]) -> Literal["reconstruct", "generate"] | None:
        """The tokenizer's stage shows motions that went through it, the others motions of sentences."""
        return "reconstruct" if stage["loss"] == "tokenizer" else "generate"

    def check_state(self, state: Tree) -> None:
        """Checks the codebook."""
        if np.any(np.asarray(state["codebook"]["counts"]) < 0):
            raise UserError("codes of its codebook are used less than never")

    def describe(self, config: Mapping[str, Any]) -> str:
        """Which language model."""
        model = config["model"]
        return f"MotionGPT with a {model['lm'].upper().replace('GPT2', 'GPT-2')} and {model['vqvae']['codes']} codes"


def _unpaired(objective: LanguageObjective) -> UnpairedOptions | None:
    if not objective.unpaired:
        return None
    return UnpairedOptions(objective.words_alone, objective.motion_alone, objective.hidden, objective.span)


KIND = MotionGPTKind()
