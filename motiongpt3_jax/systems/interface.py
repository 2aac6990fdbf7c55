"""The contract of a model: what training and inference need of it, each part owned by who consumes it.

`System` is a model with its losses (training), `Answers` the same model as it is asked (inference). What the registry
knows a whole system by, its config, data layout, tokens and weights, is `SystemKind` in `systems/kind.py`.
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

import jax
import numpy as np
from flax import struct
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int, Shaped

from motiongpt3_jax.batch import Batch, ClipRange, Example, RowShape, Schema
from motiongpt3_jax.text import Task, Tokenizer

Tree = Any


class Variables(struct.PyTreeNode):
    """A system's arrays.

    Attributes:
      params: what gradients train, a plain nested dictionary.
      state: what training moves without gradients (a codebook's moving averages); may be empty.
      frozen: paths of parameters of which no gradient is taken; a loss may leave out what only they would need.
    """

    params: Tree
    state: Tree = struct.field(default_factory=dict)
    frozen: frozenset[str] = struct.field(default=frozenset(), pytree_node=False)


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

    @cached_property
    def shapes(self) -> Variables:
        """Shapes and dtypes of the variables: of `init`, which is traced once."""
        return jax.eval_shape(self.init, jax.random.key(0))

    def draw(self, key: jax.Array, batch: Batch, train: bool) -> Tree:
        """Every random number of a loss, keyed by sample: batch mates change nothing but dropout."""

    def advance(self, state: Tree, sums: Tree) -> Tree:
        """The state after one update, from `Terms.state_sums` of the whole batch; asked only where there are some."""
        return state

    def train_flops(self, loss: str, batch: Batch, objective: Any = None, frozen: Collection[str] = ()) -> float | None:
        """FLOPs of the matrix products of a training step, forward and backward, for what a batch really holds.

        Padding is left out, and so is what is computed twice; None where nobody counts them.

        Args:
          loss: which of the losses.
          batch: in numpy.
          objective: of the loss; without one, all of its terms count.
          frozen: paths of parameters that do not train.
        """
        return None

    def upgrade(self, version: int, tree: Tree) -> Tree:
        """Parameters, their moving average or an optimizer's state of a checkpoint of an older format, as of today.

        Whatever is in place of a parameter moves with it to the parameter's path and shape of today.
        """
        return tree


Makes = Literal["motion", "text", "pair", "pair_text"]
"""What is wanted: a motion, or a text, of one person; or motions of two people, of the second alone where the first is
given, or a text about two."""

Features = Float[np.ndarray, "frames features"]


@dataclass(frozen=True)
class Question:
    """What a model goes on from.

    Attributes:
      text: the question, with a placeholder for each motion that enters; "" asks for any motion.
      clips: raw features of each motion that enters, in their order.
      answer: what has been answered so far, with a placeholder for each motion made; None where nothing has.
      turns: earlier questions and answers of a conversation, whose motions all enter, before those of `text`.
      answer_clips: raw features of each motion of `answer`, in their order.
      place: of the second of two people in `clips`, in the frame of the first, in frame 0 and once a second.
    """

    text: str
    clips: tuple[Features, ...] = ()
    answer: str | None = None
    turns: tuple[tuple[str, str], ...] = ()
    answer_clips: tuple[Features, ...] = ()
    place: tuple[float, ...] = ()


@dataclass(frozen=True)
class Capabilities:
    """What a model can do.

    Attributes:
      tasks: the tasks, by name.
      persons: how many move in a motion at most.
      length: whether the length of a motion is known before decoding, because it is asked for; or only after it,
        because the model ends it; or either, where a length may be asked for and the model ends what has none.
      longest_read: frames of the longest motion that is read at once.
      longest_made: frames of the longest motion that is made at once.
      chats: whether it can begin a motion in the middle of a text.
      end_of_codes: where motions are codes, the id behind them in the `tokens` that the last phase takes, with `frames`
        alone (0: all); so the codes of several motions can follow each other and become one. None where they cannot.
    """

    tasks: Mapping[str, Task]
    persons: int
    length: Literal["before", "after", "either"]
    longest_read: int
    longest_made: int
    chats: bool = False
    end_of_codes: int | None = None

    @property
    def takes_length(self) -> bool:
        """Whether a length can be asked for."""
        return self.length != "after"

    @property
    def ends_motions(self) -> bool:
        """Whether the model ends a motion itself for which no length is asked."""
        return self.length != "before"


@dataclass(frozen=True)
class Phase:
    """A part of an answer that is compiled, run and timed by itself.

    Attributes:
      name: what its time is booked under.
      run: (variables, *values) -> new values by name. In the end there must be `features` (rows, frames, features),
        normalised, and `frames` (rows,) of a motion; `tokens` (rows, tokens) of a text.
      takes: names of the values that it takes, None for what is not there; at first there are `batch`, `seeds`,
        `frames` and `places`. Where each phase that takes `batch` also takes `places`, a row may hold several
        questions, and `places` says where they lie; it is None where each has its row. Of two people `features` are
        (rows, persons, frames, features), and there must be `place_codes` (rows, times, 3) and `times` (rows,), see
        `motion.place_codes`.
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

    def example(self, number: int, question: Question, makes: Makes, options: Any, frames: int = 0) -> Example:
        """A question laid out; its clips count frames through those of the question, then those of the answer.

        Args:
          number: of the question.
          question: what the model goes on from.
          makes: what is wanted.
          options: how.
          frames: how long the motion is to be; 0 where nobody says.

        Raises:
          UserError: it is too long for the model.
        """

    def official_question(self, text: str, task: Task, features: Features, options: Any) -> tuple[Question, int, Any]:
        """How the official evaluation shows parts of a motion: (question, frames of the answer, how it is sampled).

        Args:
          text: how the official code asks for the task.
          task: which parts are given, and which are made.
          features: of the whole motion.
          options: how motions are sampled otherwise.
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

    def flops(
        self, makes: Makes, examples: Sequence[Example], values: Mapping[str, np.ndarray], options: Any
    ) -> Mapping[str, float]:
        """FLOPs of the matrix products that answers really need in each phase, by its name, padding left out.

        Args:
          makes: what was asked for.
          examples: the questions.
          values: those of the last phase, a row for each question.
          options: of the answers.
        """

    def code_motions(self, variables: Variables) -> Mapping[str, Float[Array, "frames features"]]:
        """What the codes in most use stand for, each by itself, as normalised features; nothing without a codebook."""


class ClipEncoder(Protocol):
    """Encodes the clips of a stage once, before it begins, instead of in each of its steps.

    Attributes:
      patterns: path patterns of the parameters that the codes depend on; the stage does not train them.
      dtype: of the codes: ids are "int32", numbers "float32".
    """

    patterns: Sequence[str]
    dtype: str

    def row_shape(self, shape: RowShape) -> RowShape:
        """How much a row holds, where it would hold so much with clips that are not encoded yet."""

    def ranges(self, frames: int) -> Sequence[ClipRange]:
        """The parts of a clip of so many frames that samples of the stage may ask for, each once."""

    def count(self, frames: int) -> int:
        """Codes of a part of so many frames."""

    def encode(
        self, variables: Variables, features: Float[Array, "clips frames features"], frames: Int[Array, "clips"]
    ) -> Shaped[Array, "clips codes"]:
        """Codes of normalised features; what is beyond a clip's own count means nothing."""

    def flops(self, frames: Sequence[int]) -> float:
        """FLOPs of the matrix products that clips of so many frames need."""


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
