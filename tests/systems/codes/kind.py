"""The system as the registry knows it, with a tokenizer and without one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax.numpy as jnp

from motiongpt3_jax.batch import Layout, RowShape
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.constrain import Constrain
from motiongpt3_jax.systems.interface import ModelSpec, Objective, Tree
from motiongpt3_jax.systems.weights import Weights
from motiongpt3_jax.text import Task, TokenSpec, load_templates
from motiongpt3_jax.text.tasks import WHOLE, by_name
from motiongpt3_jax.values import SECTION, Rule, check_value, check_values, one_of, pair_of, real, sequence_of, whole
from tests.systems.codes.alphabet import SPEC, Alphabet
from tests.systems.codes.answers import CodeScriptAnswers
from tests.systems.codes.layout import Composer, DanceLayout, ScriptLayout
from tests.systems.codes.quantiser import chunks_of
from tests.systems.codes.system import OBJECTIVES, CodeScript, Sizes

TASKS = by_name(
    Task("perform", "generate", output_spans=(WHOLE,), question="perform <Caption_Placeholder>"),
    Task("narrate", "caption", input_spans=(WHOLE,), question="narrate <Motion_Placeholder>"),
)

WEIGHTS = Weights(part_sizes={"model": {"decoder": ("width", "layers", "heads")}})

COUNT = whole(1, 10**4)
DECODER = {"width": COUNT, "layers": COUNT, "heads": COUNT, "max_positions": COUNT}
QUANTISER = {"codes": COUNT, "chunk": whole(1, 64)}
BATCH = {"rows": COUNT, "length": COUNT, "clips": sequence_of(pair_of(COUNT, COUNT), least=1), "samples": COUNT}


@dataclass(frozen=True)
class CodeScriptKind:
    """The entry of the registry; see `systems.kind.SystemKind`."""

    name: str
    title: str
    tokens: Callable[[Mapping[str, Any]], TokenSpec] | None
    tasks: Mapping[str, Task] = field(default_factory=lambda: TASKS)
    styles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    weights: Weights = WEIGHTS
    sections: tuple[str, ...] = ("quantiser",)
    data_options: Mapping[str, Rule] = field(default_factory=dict)

    def check_config(self, config: Mapping[str, Any], path: str) -> None:
        """Checks `model` and `quantiser`."""
        check_values(f"{path}.model", config["model"], {"decoder": SECTION})
        check_values(f"{path}.model.decoder", config["model"]["decoder"], DECODER)
        check_values(f"{path}.quantiser", config["quantiser"], QUANTISER)
        decoder = config["model"]["decoder"]
        if decoder["width"] % (2 * decoder["heads"]):
            raise UserError(f"{path}.model.decoder.width is {decoder['width']}; take a multiple of twice its heads")

    def check_stage(self, name: str, config: Mapping[str, Any], path: str) -> None:
        """Checks loss, objective and batch."""
        stage = config["stages"][name]
        check_value(f"{path}.loss", stage["loss"], one_of(*OBJECTIVES))
        weights = dict.fromkeys(OBJECTIVES[stage["loss"]]().term_weights, real(0, 1e6))
        check_values(f"{path}.objective", stage["objective"], weights)
        check_values(f"{path}.batch", stage["batch"], BATCH)
        if bool(stage["templates"]) != (stage["loss"] == "script"):
            raise UserError(f"{path}.templates is {stage['templates']!r}; the loss script alone has templates")
        needed = chunks_of(config["data"]["max_frames"], config["quantiser"]["chunk"]) + 2
        if stage["batch"]["length"] < needed:
            raise UserError(f"{path}.batch.length is {stage['batch']['length']}; a motion alone takes {needed}")

    def upgrade_config(self, config: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """There is no older format."""
        return config

    def make_system(self, spec: ModelSpec, constrain: Constrain | None = None) -> CodeScript:
        """The model's functions."""
        quantiser = spec.config["quantiser"]
        sizes = Sizes(**spec.config["model"]["decoder"], chunk=quantiser["chunk"], features=spec.features)
        return CodeScript(sizes, Alphabet(spec.tokenizer, quantiser["codes"]), constrain)

    def make_answers(self, spec: ModelSpec, system: CodeScript) -> CodeScriptAnswers:
        """The model as it is asked."""
        return CodeScriptAnswers(system, self.tasks)

    def objective(self, loss: str, values: Mapping[str, Any]) -> Objective:
        """The objective of a loss."""
        return OBJECTIVES[loss](**values)

    def heads(self, model: Mapping[str, Any]) -> int:
        """Those of the decoder."""
        return model["decoder"]["heads"]

    def clip_encoder(self, stage: Mapping[str, Any], spec: ModelSpec) -> None:
        """Steps encode their clips."""

    def stages_to_run(self, config: Mapping[str, Any]) -> list[str]:
        """All of them."""
        return list(config["run"])

    def layout(self, stage: Mapping[str, Any], spec: ModelSpec) -> Layout:
        """Question and answer where a stage has templates, else the motion alone."""
        quantiser = spec.config["quantiser"]
        composer = Composer(Alphabet(spec.tokenizer, quantiser["codes"]), quantiser["chunk"])
        if not stage["templates"]:
            return DanceLayout(composer)
        return ScriptLayout(composer, load_templates(stage["templates"], self.tasks), self.tasks, spec.fps)

    def row_shape(self, stage: Mapping[str, Any]) -> RowShape:
        """How much a row holds."""
        batch = stage["batch"]
        return RowShape((("tokens", batch["length"]),), batch["clips"], batch["samples"])

    def check_state(self, state: Tree) -> None:
        """Checks the codebook."""
        if not jnp.any(state["codebook"]):
            raise UserError("its codebook is empty")

    def describe(self, config: Mapping[str, Any]) -> str:
        """The kind of model in a few words."""
        return f"{self.title} of {config['quantiser']['codes']} codes"

    def preview(self, stage: Mapping[str, Any]) -> Literal["reconstruct", "generate"] | None:
        """Motions of sentences, once there are any sentences."""
        return "generate" if stage["loss"] == "script" else "reconstruct"


KIND = CodeScriptKind("codescript", "CodeScript", lambda config: SPEC)
WITHOUT_TOKENIZER = CodeScriptKind("bytescript", "ByteScript", None)
