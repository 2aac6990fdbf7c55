"""What training, sampling, evaluation, export and serving know of a system."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
from flax import struct

from motiongpt3_jax.batch import Batch

Tree = Any


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


class System(Protocol):
    """A model with its losses and its way to answer. Everything is a pure function of arrays.

    A system may have two members more:

        dtypes    (path pattern, dtype) pairs; parameters that a stage freezes are held in the dtype of the first
                  pattern that matches their whole path (a base in bfloat16), and stored in their own
        upgrade   (format, tree) -> tree: parameters, their moving average or an optimizer's state of a checkpoint of an
                  older format, under the paths and in the shapes of today; whatever is in place of a parameter moves
                  with it
    """

    losses: Mapping[str, Loss]

    def init(self, rng: jax.Array) -> Variables:
        """Fresh variables."""

    def draw(self, key: jax.Array, batch: Batch, train: bool) -> Tree:
        """Every random number of a loss, keyed by sample: batch mates change nothing but dropout."""

    def advance(self, state: Tree, sums: Tree) -> Tree:
        """The state after one update, from `Terms.state_sums` of the whole batch; asked only where there are some."""
