"""What the registry knows a system by: its config, its data layout, its tokens and its weights."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from motiongpt3_jax.batch import Layout, RowShape
from motiongpt3_jax.models.constrain import Constrain
from motiongpt3_jax.systems.interface import Answers, ClipEncoder, ModelSpec, Objective, System, Tree
from motiongpt3_jax.systems.weights import Weights
from motiongpt3_jax.text import Task, TokenSpec
from motiongpt3_jax.values import Rule


class SystemKind(Protocol):
    """A system as the registry knows it.

    Attributes:
      name: as configs name it.
      title: as people know it.
      tasks: what it can be asked, by name.
      tokens: from a checked config to what the system asks of its tokenizer; None where it has none.
      weights: which parts may come trained.
      styles: how the official code of a published system asks, by style and task.
      sections: names of the config's sections that the system has beside `model`. `tokenizer` is a part of its config
        where `tokens` are, and `pretrained` where `weights.pretrained` is. Shapes of arrays depend on `model`, these
        sections, the features and the vocabulary alone; how many features and ids there are changes no path.
      data_options: values that the system has in the config's section `data`, and what each must be.
    """

    name: str
    title: str
    tasks: Mapping[str, Task]
    tokens: Callable[[Mapping[str, Any]], TokenSpec] | None
    weights: Weights
    styles: Mapping[str, Mapping[str, str]]
    sections: tuple[str, ...]
    data_options: Mapping[str, Rule]

    def check_config(self, config: Mapping[str, Any], path: str) -> None:
        """Checks what is the system's own: `model`, `sections`, and `data_options` beside other values.

        Raises:
          UserError: names the key that is wrong, and what it must be.
        """

    def check_stage(self, name: str, config: Mapping[str, Any], path: str) -> None:
        """Checks what is the system's own in a stage: loss, objective, batch.

        Raises:
          UserError: names the key that is wrong, and what it must be.
        """

    def upgrade_config(self, config: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """The config of a model's folder of an older format."""

    def make_system(self, spec: ModelSpec, constrain: Constrain | None = None) -> System:
        """The model's functions."""

    def make_answers(self, spec: ModelSpec, system: System) -> Answers:
        """The model as it is asked."""

    def objective(self, loss: str, values: Mapping[str, Any]) -> Objective:
        """The objective of a loss."""

    def heads(self, model: Mapping[str, Any]) -> int:
        """Attention heads of a model, which the mesh axis `tensor` must divide."""

    def stages_to_run(self, config: Mapping[str, Any]) -> list[str]:
        """The stages of `config.run` that are to be trained."""

    def layout(self, stage: Mapping[str, Any], spec: ModelSpec) -> Layout:
        """How a stage lays its samples out."""

    def row_shape(self, stage: Mapping[str, Any]) -> RowShape:
        """How much a row of a stage holds."""

    def clip_encoder(self, stage: Mapping[str, Any], spec: ModelSpec) -> ClipEncoder | None:
        """What encodes the clips of a stage before it begins; None where its steps do, or it has none."""

    def check_state(self, state: Tree) -> None:
        """Checks arrays that training moves without gradients; their names and shapes are right.

        Raises:
          UserError: they hold what no training leaves there.
        """

    def describe(self, config: Mapping[str, Any]) -> str:
        """The kind of model in a few words, for the card of an exported one."""

    def preview(self, stage: Mapping[str, Any]) -> Literal["reconstruct", "generate"] | None:
        """What shows how far a stage has come: motions through the encoder and back, or from sentences; or nothing."""
