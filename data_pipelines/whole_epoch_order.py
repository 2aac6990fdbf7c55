"""Data order 2: first fit over the whole epoch, planned by every process, with a generator for each sample.

Runs that began with it go on with it; new ones have `sharded_order`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from motiongpt3_jax.batch import Layout, RowShape, SampleTable
from motiongpt3_jax.data_pipelines.order import PackedRows, deal
from motiongpt3_jax.data_pipelines.packing import Size, pack, size_of
from motiongpt3_jax.data_pipelines.sample_draws import DRAWS, Visits
from motiongpt3_jax.errors import UserError


class Plan(NamedTuple):
    """How an epoch is packed.

    Attributes:
      rows: numbers of the samples of each row.
      spare: rows that other epochs may take beyond these.
    """

    rows: list[list[int]]
    spare: int


@dataclass(frozen=True, eq=False)
class WholeEpochOrder:
    """Rows of order 2, see `Order`."""

    visits: Visits
    layout: Layout
    shape: RowShape
    batch: int
    plans: dict[int, Plan] = field(default_factory=dict)

    @cached_property
    def steps_per_epoch(self) -> int:
        """Enough for the rows of the first epoch and what other draws may add to them."""
        rows, spare = self.plan(0)
        return math.ceil((len(rows) + spare) / self.batch)

    def batch_rows(self, step: int, here: Sequence[int]) -> PackedRows:
        """Some rows of a global batch."""
        epoch, place = divmod(step, self.steps_per_epoch)
        rows = self.plan(epoch).rows
        dealt = [rows[i] for i in deal(len(rows), self.steps_per_epoch, place)]
        return self._packed(epoch, [dealt[i] if i < len(dealt) else [] for i in here])

    def first_rows(self, count: int) -> PackedRows:
        """The first rows of the first epoch."""
        return self._packed(0, self.plan(0).rows[:count])

    def plan(self, epoch: int) -> Plan:
        """The rows of an epoch."""
        if epoch not in self.plans:
            while len(self.plans) > 2:
                self.plans.pop(next(key for key in self.plans if key != 0))
            self.plans[epoch] = self._pack(epoch)
        return self.plans[epoch]

    def _pack(self, epoch: int) -> Plan:
        numbers = self.visits.order(epoch).tolist()
        examples = self.layout(self._table(epoch, numbers).samples())
        sizes = [size_of(example, self.shape, self.layout.schema) for example in examples]
        rows = pack(sizes, self.shape)
        if epoch and len(rows) > (room := self.steps_per_epoch * self.batch):
            raise UserError(
                f"epoch {epoch} takes {len(rows)} rows and its {self.steps_per_epoch} batches of "
                f"{self.batch} rows hold {room}; give rows room for more samples, or batches more rows."
            )
        return Plan([[numbers[i] for i in row] for row in rows], self._spare(sizes))

    def _spare(self, sizes: Sequence[Size]) -> int:
        parts = np.array([_part(size, self.shape) for size in sizes] or [0.0])
        visits = len(self.visits.lengths) * sum(chance * (1 - chance) for _, chance in self.visits.subtasks)
        deviation = math.sqrt(len(sizes) * parts.var() + visits * np.mean(parts**2))
        return math.ceil(6 * deviation) + 2 if deviation > 1e-6 else 0

    def _packed(self, epoch: int, rows: list[list[int]]) -> PackedRows:
        ends = np.cumsum([0, *(len(row) for row in rows)]).tolist()
        table = self._table(epoch, [number for row in rows for number in row])
        return PackedRows(table, [range(start, stop) for start, stop in pairwise(ends)])

    def _table(self, epoch: int, numbers: Sequence[int]) -> SampleTable:
        draws = np.empty((len(numbers), DRAWS))
        for row, number in zip(draws, numbers):
            philox = np.random.Philox(key=[self.visits.seed, epoch], counter=[0, 0, 0, number])
            row[:] = np.random.Generator(philox).random(DRAWS)
        return self.visits.tabulate(np.array(numbers, np.int64), draws)


def _part(size: Size, shape: RowShape) -> float:
    """The part of a row that a sample takes of what it takes most of."""
    parts = [1 / shape.samples]
    for needs, haves in ((size.slots, shape.slots), (size.entries, shape.capacities)):
        parts += [need / have for need, (_, have) in zip(needs, haves) if have]
    room = [sum(count for limit, count in shape.clips if limit >= frames) for frames in size.clips]
    return max(*parts, sum(1 / places for places in room))
