"""MotionGPT3 as the registry knows it: its config, its data layout, its tokens and its weights."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from motiongpt3_jax.batch import Layout, RowShape
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.constrain import Constrain
from motiongpt3_jax.systems.interface import ModelSpec, Objective, Tree
from motiongpt3_jax.systems.motiongpt3.answers import MotionGPT3Answers
from motiongpt3_jax.systems.motiongpt3.build import build_config, sizes_of
from motiongpt3_jax.systems.motiongpt3.check import read_layout, read_model, read_objective
from motiongpt3_jax.systems.motiongpt3.check_stage import check_stage
from motiongpt3_jax.systems.motiongpt3.exporter import export_pytorch
from motiongpt3_jax.systems.motiongpt3.importer import MotionGPT3Importer
from motiongpt3_jax.systems.motiongpt3.latent_encoder import LatentEncoder
from motiongpt3_jax.systems.motiongpt3.layout import ClipLayout, SequenceLayout
from motiongpt3_jax.systems.motiongpt3.migration import upgrade_config
from motiongpt3_jax.systems.motiongpt3.modules import Modules
from motiongpt3_jax.systems.motiongpt3.official import from_official
from motiongpt3_jax.systems.motiongpt3.parts import PART_SIZES, PARTS
from motiongpt3_jax.systems.motiongpt3.pretrained import pretrained_files, pretrained_text, published_names
from motiongpt3_jax.systems.motiongpt3.prompts import OFFICIAL_QUESTIONS, TOKEN_SPEC
from motiongpt3_jax.systems.motiongpt3.sections import BatchSection
from motiongpt3_jax.systems.motiongpt3.system import MotionGPT3
from motiongpt3_jax.systems.weights import Weights
from motiongpt3_jax.text import TASKS, TokenSpec, load_templates
from motiongpt3_jax.values import SECTION, Rule, check_values, from_values, one_of


def read_official(tensors: Mapping[str, np.ndarray], spec: ModelSpec) -> Tree:
    """Parameters from tensors by their official names."""
    return from_official(tensors, build_config(spec.config["model"], **sizes_of(spec)))


class MotionGPT3Kind:
    """The entry of the registry; see `systems.kind.SystemKind`."""

    name = "motiongpt3"
    title = "MotionGPT3"
    tasks = TASKS
    styles = OFFICIAL_QUESTIONS
    sections = ("layout",)
    data_options: Mapping[str, Rule] = MappingProxyType({"latents": one_of("online", "cached")})
    weights = Weights(
        parts=PARTS,
        part_sizes=PART_SIZES,
        state_part="vae",
        tokenizer_part="text",
        statistics_part="vae",
        captions_part="motion",
        pretrained=pretrained_text,
        pretrained_part="text",
        pretrained_files=pretrained_files,
        from_official=read_official,
        importer=MotionGPT3Importer(),
        exporters={"pytorch": export_pytorch},
        published_names=published_names,
    )

    def tokens(self, config: Mapping[str, Any]) -> TokenSpec:
        """Six tokens, whatever the config."""
        del config
        return TOKEN_SPEC

    def check_config(self, config: Mapping[str, Any], path: str) -> None:
        """Checks `model` and `layout`."""
        check_values(path, config, {"model": SECTION, "layout": SECTION}, others=True)
        read_model(config["model"], f"{path}.model")
        read_layout(config["layout"], f"{path}.layout")

    def check_stage(self, name: str, config: Mapping[str, Any], path: str) -> None:
        """Checks loss, objective, batch and tasks of a stage."""
        check_stage(name, config, path)

    def upgrade_config(self, config: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """The config of a model's folder of an older format."""
        return upgrade_config(config, version)

    def make_system(self, spec: ModelSpec, constrain: Constrain | None = None) -> MotionGPT3:
        """The model's functions."""
        return MotionGPT3(build_config(spec.config["model"], **sizes_of(spec)), constrain)

    def make_answers(self, spec: ModelSpec, system: MotionGPT3) -> MotionGPT3Answers:
        """The model as it is asked."""
        return MotionGPT3Answers(spec, system)

    def objective(self, loss: str, values: Mapping[str, Any]) -> Objective:
        """The objective of a loss."""
        return read_objective(loss, values)

    def heads(self, model: Mapping[str, Any]) -> int:
        """Those of the decoder's keys and values, which divide the others."""
        decoder = model["decoder"]
        return decoder["kv_heads"] or decoder["heads"]

    def stages_to_run(self, config: Mapping[str, Any]) -> list[str]:
        """A pretrained text branch is not pretrained again."""
        return [name for name in config["run"] if name != "text" or not config["pretrained"]]

    def layout(self, stage: Mapping[str, Any], spec: ModelSpec) -> Layout:
        """Sequences of text and motion where a stage has templates, else clips alone."""
        if not stage["templates"]:
            return ClipLayout()
        options, holders = read_layout(spec.config["layout"]), spec.config["model"]["holders"]
        return SequenceLayout(spec.tokenizer, load_templates(stage["templates"]), options, spec.fps, holders)

    def row_shape(self, stage: Mapping[str, Any]) -> RowShape:
        """How much a row of a stage holds."""
        batch = from_values(BatchSection, stage["batch"], "batch")
        slots = (("text", batch.text_slots), ("motion", batch.motion_slots))
        outputs = (("outputs", batch.outputs),)
        return RowShape(tuple(slot for slot in slots if slot[1]), batch.clips, batch.samples, outputs)

    def clip_encoder(self, stage: Mapping[str, Any], spec: ModelSpec) -> LatentEncoder | None:
        """The VAE, where config.data.latents is "cached" and the stage reads texts with motions."""
        if spec.config["data"]["latents"] == "online" or not stage["templates"]:
            return None
        tasks = dict.fromkeys(TASKS[subtask.task] for subtask in load_templates(stage["templates"]).values())
        if not any(task.input_spans or task.output_spans for task in tasks):
            return None
        return LatentEncoder(Modules(build_config(spec.config["model"], **sizes_of(spec))), tuple(tasks))

    def preview(self, stage: Mapping[str, Any]) -> Literal["reconstruct", "generate"] | None:
        """The VAE's stage shows motions that went through it, a stage with the diffusion head motions of sentences."""
        if stage["loss"] == "vae":
            return "reconstruct"
        return "generate" if stage["objective"]["diffusion"] else None

    def check_state(self, state: Tree) -> None:
        """Checks the moments of the latents."""
        if np.any(np.asarray(state["latent_square"]) < 0):
            raise UserError("its latents have squares below 0")

    def describe(self, config: Mapping[str, Any]) -> str:
        """Diffusion or flow."""
        return "MotionGPT3 trained as a rectified flow" if config["model"]["flow"] else "MotionGPT3"


KIND = MotionGPT3Kind()
