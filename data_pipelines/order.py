"""The protocol of a data order: which samples share the rows of each global batch, as a pure function of the step."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Int

from motiongpt3_jax.batch import Layout, RowShape, SampleTable, SizedLayout, Sizes
from motiongpt3_jax.data_pipelines.packing import capacities_of, needs_of, sizes_of


class PackedRows(NamedTuple):
    """Rows of samples.

    Attributes:
      table: samples, among them those of the rows.
      rows: the samples of each row, as places in the table; an empty row has none.
    """

    table: SampleTable
    rows: list[Sequence[int]]


class Order(Protocol):
    """Rows of every batch. It differs with the seed, the data set, the layout and the rows, and with nothing else."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches of every epoch."""

    def batch_rows(self, step: int, here: Sequence[int]) -> PackedRows:
        """Some rows of global batch `step`, counted over all epochs.

        Raises:
          UserError: an epoch takes more rows than its batches have.
        """

    def first_rows(self, count: int) -> PackedRows:
        """Up to `count` rows of the first epoch, none of them empty."""


def measure(layout: Layout, table: SampleTable, shape: RowShape) -> Int[np.ndarray, "samples resources"]:
    """What samples take of each resource of a row; what the layout does not tell is laid out and measured."""
    if shape.samples == 1:  # each sample has a row, whatever it takes
        none = np.zeros((len(table), len(capacities_of(shape)) - 1), np.int64)
        return np.append(none, np.ones((len(table), 1), np.int64), axis=1)
    if not isinstance(layout, SizedLayout):
        return needs_of(sizes_of(layout(table.samples()), shape, layout.schema), shape)
    sizes: Sizes = layout.sizes(table)
    needs = needs_of(sizes, shape)
    unknown = np.flatnonzero(~sizes.known)
    if len(unknown):
        needs[unknown] = needs_of(sizes_of(layout(table.take(unknown).samples()), shape, layout.schema), shape)
    return needs


def deal(rows: int, steps: int, step: int) -> range:
    """Which of an epoch's rows a batch has: they are dealt evenly, so that no batch has two more than another."""
    return range(step * rows // steps, (step + 1) * rows // steps)
