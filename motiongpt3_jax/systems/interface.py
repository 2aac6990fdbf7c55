"""The contract of a system: what training, data, answers and weights need of it, each part owned by who consumes it.

`System` is a model with its losses (training), `Answers` the same model as it is asked (inference), `SystemKind` what
the registry knows a system by: its config, its data layout, its tokens and its weights.
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

import jax
import numpy as np
from flax import struct
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from motiongpt3_jax.batch import Batch, Example, Layout, RowShape, Schema
from motiongpt3_jax.text import Task, Tokenizer, TokenSpec

Tree = Any
Constrain = Callable[[str, Array], Array]
"""Where a mesh may pin the sharding of an activation, by its name."""


class Variables(struct.PyTreeNode):
    """A system's arrays.

    Attributes:
      params: what gradients train, a plain nested dictionary.
      state: what training moves without gradients (a codebook's moving averages); may be empty.
    """

    params: Tree
    state: Tree = struct.field(default_factory=dict)


class Terms(struct.PyTreeNode):
    """A loss before its division: sums and counts, so that rows, devices and accumulation add up exactly.

    Attributes:
      sums: summed loss of each term over the batch.
      counts: what each term's sum is divided by; depends on the batch, never on parameters.
      metrics: (sum, count) of each number that is reported and not trained on.
      state_sums: what moves the system's state without gradients, summed too: `System.advance` takes the totals.
    """

    sums: dict[str, jax.Array]
    counts: dict[str, jax.Array]
    metrics: dict[str, tuple[jax.Array, jax.Array]] = struct.field(default_factory=dict)
    state_sums: Tree = struct.field(default_factory=dict)


class Objective(Protocol):
    """Weights and switches of a loss; a frozen dataclass that lives with its system."""

    @property
    def term_weights(self) -> Mapping[str, float]:
        """Weight of each of `Terms.sums` in the total."""


Loss = Callable[[Variables, Batch, Tree, Any], Terms]
"""(variables, batch, draws, objective) -> terms."""


class System(Protocol):
    """A model with its losses, as training knows it. Everything is a pure function of arrays.

    A system that inherits from this has the defaults of all members that have one.

    Attributes:
      losses: by their names.
      sharding_rules: (path pattern, how an array whose path ends so is split over the mesh); the first match counts.
      dtypes: (path pattern, dtype): parameters that a stage freezes are held in the dtype of the first pattern that
        matches their whole path (a base in bfloat16), and stored in their own.
    """

    losses: Mapping[str, Loss]
    sharding_rules: Sequence[tuple[str, PartitionSpec]] = ()
    dtypes: Sequence[tuple[str, str]] = ()

    def init(self, rng: jax.Array) -> Variables:
        """Fresh variables."""

    def draw(self, key: jax.Array, batch: Batch, train: bool) -> Tree:
        """Every random number of a loss, keyed by sample: batch mates change nothing but dropout."""

    def advance(self, state: Tree, sums: Tree) -> Tree:
        """The state after one update, from `Terms.state_sums` of the whole batch; asked only where there are some."""
        return state

    def upgrade(self, version: int, tree: Tree) -> Tree:
        """Parameters, their moving average or an optimizer's state of a checkpoint of an older format, as of today.

        Whatever is in place of a parameter moves with it to the parameter's path and shape of today.
        """
        return tree


Makes = Literal["motion", "text"]
Features = Float[np.ndarray, "frames features"]


@dataclass(frozen=True)
class Question:
    """What a model goes on from.

    Attributes:
      text: the question, with a placeholder for each motion that enters; "" asks for any motion.
      clips: raw features of each motion that enters, in their order.
      answer: what has been answered so far, with a placeholder for each motion made; None where nothing has.
      turns: earlier questions and answers of a conversation, whose motions all enter, before those of `text`.
    """

    text: str
    clips: tuple[Features, ...] = ()
    answer: str | None = None
    turns: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Capabilities:
    """What a model can do.

    Attributes:
      tasks: the tasks, by name.
      persons: how many move in a motion at most.
      length: whether the length of a motion is known before decoding, because it is asked for, or only after it,
        because the model ends it.
      longest_read: frames of the longest motion that is read at once.
      longest_made: frames of the longest motion that is made at once.
      reconstructs: whether a motion can go through its encoder and back.
      chats: whether it can begin a motion in the middle of a text.
    """

    tasks: Mapping[str, Task]
    persons: int
    length: Literal["before", "after"]
    longest_read: int
    longest_made: int
    reconstructs: bool = True
    chats: bool = False


@dataclass(frozen=True)
class Phase:
    """A part of an answer that is compiled, run and timed by itself.

    Attributes:
      name: what its time is booked under.
      run: (variables, *values) -> new values by name. In the end there must be `features` (rows, frames, features),
        normalised, and `frames` (rows,) of a motion; `tokens` (rows, tokens) of a text.
      takes: names of the values that it takes, None for what is not there; at first there are `batch`, `seeds` and
        `frames`.
      key: tells programs of one name apart: whatever `run` depends on beside its arguments.
    """

    name: str
    run: Callable[..., Mapping[str, Any]]
    takes: tuple[str, ...]
    key: Hashable = None


class Text(NamedTuple):
    """What decoded tokens say.

    Attributes:
      words: the text without special tokens.
      whole: the text as it stands in a conversation that goes on.
      begins_motion: whether a motion begins behind it.
    """

    words: str
    whole: str
    begins_motion: bool


class Answers(Protocol):
    """A model as inference knows it: prompts to batches, phases, and what it can do.

    Attributes:
      capabilities: what it can do.
      schema: the arrays that examples fill.
    """

    capabilities: Capabilities
    schema: Schema

    def prepare(self, variables: Variables) -> Variables:
        """The variables in the form that answers are quickest with."""

    def motion_options(self, **options: Any) -> Hashable:
        """How motions are sampled.

        Raises:
          UserError: there is no such option, or it has no such value.
        """

    def text_options(self, begins_motion: bool = False, **options: Any) -> Hashable:
        """How text is decoded; with `begins_motion` it may stop where a motion begins.

        Raises:
          UserError: there is no such option, or it has no such value.
        """

    def example(self, number: int, question: Question, makes: Makes, options: Any) -> Example:
        """A question laid out.

        Raises:
          UserError: it is too long for the model.
        """

    def phases(self, example: Example, makes: Makes, options: Any, longest: int) -> Sequence[Phase]:
        """What turns a batch of questions laid out like this one into answers.

        Args:
          example: one of them.
          makes: what is wanted.
          options: how.
          longest: frames of the longest motion that is asked for, rounded up; 0 for a text.
        """

    def text_of(self, tokens: Sequence[int], options: Any) -> Text:
        """What decoded tokens say, without their end."""

    def reconstruct(
        self, variables: Variables, features: Float[Array, "clips frames features"], frames: Int[Array, "clips"]
    ) -> Float[Array, "clips frames features"]:
        """Normalised features through the encoder and back."""


@dataclass(frozen=True)
class ModelSpec:
    """What fixes a model beside its config.

    Attributes:
      config: the whole config, plain values.
      features: width of a frame.
      tokenizer: of its texts; None where it has none.
      fps: frames in a second.
    """

    config: Mapping[str, Any]
    features: int
    tokenizer: Tokenizer | None
    fps: float = 20.0


class Identified(NamedTuple):
    """What a file of tensors of other code is.

    Attributes:
      tensors: those of the model, by the names that its reader knows.
      config: plain values, with the sizes that the tensors have.
      features: width of a frame; None where no part that reads frames is there.
      vocabulary: base ids of the tokenizer; None where no part that reads text is there.
      untrained: parts that are not there, and will be fresh.
      questions: how the model is asked, by task, where its templates are not those that it was trained with.
      notes: what else there is to say, a sentence each.
    """

    tensors: Mapping[str, np.ndarray]
    config: Mapping[str, Any]
    features: int | None
    vocabulary: int | None
    untrained: tuple[str, ...] = ()
    questions: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()


class Importer(Protocol):
    """Makes a model of the tensors of other code.

    Attributes:
      tokenizer: hub name of the one that such models have.
    """

    tokenizer: str

    def identify(
        self, tensors: Mapping[str, np.ndarray], config: Mapping[str, Any], chosen: Collection[str]
    ) -> Identified:
        """What the tensors are.

        Args:
          tensors: by their names.
          config: plain values of the config that says what tensors do not.
          chosen: names of its values that the user has set ("model.decoder.heads").

        Raises:
          UserError: they are of no known model, or say too little.
        """

    def variables(self, identified: Identified, spec: ModelSpec) -> Variables:
        """All arrays of the model: those of the tensors, the others fresh.

        Raises:
          UserError: names everything that is missing, unexpected or of another shape.
        """


class Exporter(Protocol):
    """Writes a model as a file of other code."""

    def __call__(self, out: Path, spec: ModelSpec, variables: Variables) -> list[str]:
        """Writes the file; returns what there is to say of it.

        Raises:
          UserError: the other code cannot express the model.
        """


@dataclass(frozen=True)
class Weights:
    """Where a system's parameters may come from and go to, other than its own checkpoints.

    Attributes:
      parts: patterns of the parameter paths of each part that may come trained; the first that matches counts.
      part_sizes: the values of the config's section `model` that each part cannot do without, by sections.
      state_part, tokenizer_part, statistics_part: the part that the state, the tokenizer and the statistics of the
        features come with.
      captions_part: the part that has learned the words of captions.
      pretrained: (place, model) -> parameters of a part that a published model has trained, such as a GPT-2.
      pretrained_part: which part that is.
      pretrained_file: place -> the file that they are read from.
      from_official: (tensors by their official names, model) -> parameters; None where there are no official names.
      to_official: the way back.
      tied: official names that repeat another tensor, and that tensor's name.
      importer: makes a model of the tensors of other code; None where none is read.
      exporters: by the name of a format, what writes a model as a file of other code.
    """

    parts: Mapping[str, str] = field(default_factory=lambda: {"model": ".*"})
    part_sizes: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    state_part: str = "model"
    tokenizer_part: str = "model"
    statistics_part: str = "model"
    captions_part: str = "model"
    pretrained: Callable[[str, ModelSpec], Tree] | None = None
    pretrained_part: str = "model"
    pretrained_file: Callable[[str], Path] | None = None
    from_official: Callable[[Mapping[str, np.ndarray], ModelSpec], Tree] | None = None
    to_official: Callable[[Tree, ModelSpec], Mapping[str, np.ndarray]] | None = None
    tied: Mapping[str, str] = field(default_factory=dict)
    importer: Importer | None = None
    exporters: Mapping[str, Exporter] = field(default_factory=dict)


class SystemKind(Protocol):
    """A system as the registry knows it.

    Attributes:
      name: as configs name it.
      title: as people know it.
      tasks: what it can be asked, by name.
      tokens: what it asks of its tokenizer; None where it has none.
      weights: which parts may come trained.
      styles: how the official code of a published system asks, by style and task.
      sections: names of the config's sections that the system has beside `model`. `tokenizer` is a part of its config
        where `tokens` are, and `pretrained` where `weights.pretrained` is.
    """

    name: str
    title: str
    tasks: Mapping[str, Task]
    tokens: TokenSpec | None
    weights: Weights
    styles: Mapping[str, Mapping[str, str]]
    sections: tuple[str, ...]

    def check_config(self, config: Mapping[str, Any], path: str) -> None:
        """Checks the sections that are the system's own: `model` and `sections`.

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

    def check_state(self, state: Tree) -> None:
        """Checks arrays that training moves without gradients; their names and shapes are right.

        Raises:
          UserError: they hold what no training leaves there.
        """

    def describe(self, config: Mapping[str, Any]) -> str:
        """The kind of model in a few words, for the card of an exported one."""

    def preview(self, stage: Mapping[str, Any]) -> Literal["reconstruct", "generate"] | None:
        """What shows how far a stage has come: motions through the encoder and back, or from sentences; or nothing."""
