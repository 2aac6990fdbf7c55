"""The data protocol of the train loop: batches as a function of the step."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from motiongpt3_jax.batch import Batch


class Data(Protocol):
    """Batches of one stage as a pure function of the step: its whole state is that one number.

    Every method answers for this process: its rows of a global batch are those of `parallel.local_rows`. Batches are
    numpy, rows first in every array, and all of one shape.
    """

    @property
    def rows(self) -> int:
        """Rows of a global batch."""

    @property
    def order(self) -> int:
        """Version of the order in which samples come; a run keeps to the one that it began with."""

    def batch(self, step: int) -> Batch:
        """This process's rows of batch `step`, from 0."""

    def batches(self, start_step: int) -> Iterator[Batch]:
        """`batch(start_step)`, `batch(start_step + 1)` and so on without end, read ahead."""

    def validation(self) -> Iterable[Batch]:
        """The same validation batches at every call, as many in each process; may be empty."""

    def describe(self, numbers: Sequence[int]) -> list[str]:
        """Names of samples, given the numbers in `Batch.samples`; negative numbers are empty places."""

    def useful(self, batch: Batch) -> Mapping[str, float]:
        """`samples` and `tokens` of a batch, and any shares in [0, 1] of what holds something."""
