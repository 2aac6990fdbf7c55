"""Data order 3: an epoch is packed in virtual shards, of which a process plans only those that its rows are of.

A random permutation of an epoch's samples is cut into equal shards, each is packed by itself (first fit), and each has
an interval of the rows of every batch to itself. How many shards there are follows from the data set and the rows of a
batch, so the order is the same on any number of processes. Every epoch has the same number of batches, enough for all
of its rows; the rows of a shard are dealt evenly over them, and empty rows fill each batch up.
"""

import math
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock, Thread
from typing import Any

import numpy as np
from jaxtyping import Int

from motiongpt3_jax.batch import Layout, RowShape, SampleTable
from motiongpt3_jax.data_pipelines.order import PackedRows, deal, measure
from motiongpt3_jax.data_pipelines.packing import capacities_of, first_fit
from motiongpt3_jax.data_pipelines.sample_draws import Visits
from motiongpt3_jax.errors import UserError

SHARD = 2**15
"""Samples of the smallest shard of several. Smaller ones would need more empty rows, since each has spare ones."""

OPEN_ROWS = 8
"""Rows that a sample may go into while a shard is packed; more fill rows no better, and take longer."""

Plan = dict[int, PackedRows]
"""The rows of some shards of an epoch."""


def count_shards(samples: float, rows: int) -> int:
    """How many shards an epoch of so many samples has: the most that divide a batch's rows and are large enough."""
    return max((n for n in range(1, rows + 1) if rows % n == 0 and samples / n >= SHARD), default=1)


@dataclass(eq=False)
class ShardedOrder:
    """Rows of order 3, see `Order`.

    Attributes:
      visits: the samples of every epoch.
      layout: how they are laid out.
      shape: how much a row holds.
      batch: rows of a global batch.
    """

    visits: Visits
    layout: Layout
    shape: RowShape
    batch: int
    _plans: dict[tuple[int, tuple[int, ...]], Future] = field(default_factory=dict, repr=False)
    _under_way: tuple[int, tuple[int, ...]] | None = field(default=None, repr=False)
    _kept: tuple[int, Any] = field(default=(-1, None), repr=False)
    _lock: Any = field(default_factory=Lock, repr=False)

    @cached_property
    def shards(self) -> int:
        """How many there are; without shuffling the clips' order is kept, so there is one."""
        samples = len(self.visits.lengths) * float(self.visits.chances.sum())
        return count_shards(samples, self.batch) if self.visits.shuffle else 1

    @cached_property
    def steps_per_epoch(self) -> int:
        """Enough for the rows of the first epoch's first shard and what other shards and draws may add to them."""
        table = self.table(0, 0)
        needs = self._needs(table)
        visits = len(self.visits.lengths) / self.shards * float((self.visits.chances * (1 - self.visits.chances)).sum())
        rows = len(first_fit(needs, self.shape, OPEN_ROWS)) + spare_rows(needs, self.shape, visits)
        return math.ceil(rows * self.shards / self.batch)

    def batch_rows(self, step: int, here: Sequence[int]) -> PackedRows:
        """Some rows of a global batch; the second of an epoch starts the planning of the next in a thread."""
        epoch, place = divmod(step, self.steps_per_epoch)
        width, shards = self.batch // self.shards, self.shards_of(here)
        plan = self._plan_of(epoch, shards).result()
        if self._under_way == (epoch, shards):
            self._plan_of(epoch + 1, shards)
        self._under_way = epoch, shards
        rows = []
        for row in here:
            shard, i = divmod(row, width)
            dealt = deal(len(plan[shard].rows), self.steps_per_epoch, place)
            rows.append((shard, plan[shard].rows[dealt[i]] if i < len(dealt) else ()))
        return _gather(plan, rows)

    def shards_of(self, here: Sequence[int]) -> tuple[int, ...]:
        """The shards of some rows of a batch."""
        return tuple(sorted({row * self.shards // self.batch for row in here}))

    def finish_planning(self) -> None:
        """Waits for the threads that plan."""
        for future in [*self._plans.values()]:
            future.exception()

    def first_rows(self, count: int) -> PackedRows:
        """Rows of the first samples of the first epoch."""
        numbers = self.visits.order(0)[: count * self.shape.samples]
        table = self.visits.tabulate(numbers, self.visits.draws(0, 0, len(numbers)))
        return PackedRows(table, first_fit(self._needs(table), self.shape, OPEN_ROWS)[:count])

    def table(self, epoch: int, shard: int) -> SampleTable:
        """The samples of a shard; no shard has more than the first."""
        order = self._order(epoch)
        start, stop = (-(-len(order) * edge // self.shards) for edge in (shard, shard + 1))
        return self.visits.tabulate(order[start:stop], self.visits.draws(epoch, start, stop))

    def plan(self, epoch: int, shard: int) -> PackedRows:
        """The rows of a shard.

        Raises:
          UserError: they are more than the batches of an epoch have for it.
        """
        table = self.table(epoch, shard)
        rows = first_fit(self._needs(table), self.shape, OPEN_ROWS)
        room = self.steps_per_epoch * self.batch // self.shards
        if len(rows) > room:
            raise UserError(
                f"epoch {epoch} takes {len(rows) * self.shards} rows and its {self.steps_per_epoch} batches of "
                f"{self.batch} rows hold {room * self.shards}; give rows room for more samples, or batches more rows."
            )
        return PackedRows(table, rows)

    def _order(self, epoch: int) -> Int[np.ndarray, "samples"]:
        """The samples of an epoch; those of the last one that was asked for are kept."""
        kept_epoch, order = self._kept
        if kept_epoch != epoch:
            order = self.visits.order(epoch)
            self._kept = epoch, order
        return order

    def _needs(self, table: SampleTable) -> Int[np.ndarray, "samples resources"]:
        return measure(self.layout, table, self.shape)

    def _plan_of(self, epoch: int, shards: tuple[int, ...]) -> Future:
        """The plan of an epoch, which a thread is making unless it is there."""
        with self._lock:
            if (epoch, shards) not in self._plans:
                for key in [key for key in self._plans if key[0] not in (epoch - 1, epoch)]:
                    del self._plans[key]
                future = self._plans[epoch, shards] = Future()
                Thread(target=self._make_plan, args=(future, epoch, shards), daemon=True, name="plan an epoch").start()
            return self._plans[epoch, shards]

    def _make_plan(self, future: Future, epoch: int, shards: tuple[int, ...]) -> None:
        try:
            future.set_result({shard: self.plan(epoch, shard) for shard in shards})
        except BaseException as error:  # whoever asks for the epoch gets it
            future.set_exception(error)

    def __getstate__(self) -> dict[str, Any]:
        """What travels to a worker process: neither plans nor threads."""
        return {"visits": self.visits, "layout": self.layout, "shape": self.shape, "batch": self.batch}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)


def spare_rows(needs: Int[np.ndarray, "samples resources"], shape: RowShape, visits: float) -> int:
    """Rows that another shard or epoch may take beyond those of this one, as its samples are drawn anew.

    Six standard deviations and two rows; none where all samples are alike. A sample counts as the part of a row that it
    takes of what it takes most of. That part is drawn anew from those of all samples, which is more than another crop,
    caption or template changes it and makes up for what another order changes in the packing.

    Args:
      needs: of the samples of a shard.
      shape: how much a row holds.
      visits: variance of the number of samples.
    """
    parts = (needs / np.maximum(capacities_of(shape), 1)).max(1, initial=0.0)
    parts = parts if len(parts) else np.zeros(1)
    deviation = math.sqrt(len(needs) * parts.var() + visits * np.mean(parts**2))
    return math.ceil(6 * deviation) + 2 if deviation > 1e-6 else 0


def _gather(plan: Plan, rows: Sequence[tuple[int, Sequence[int]]]) -> PackedRows:
    """Rows of several shards, each given by its shard and its samples, over one table."""
    places: dict[int, int] = {}
    tables, count = [], 0
    for shard in dict.fromkeys(shard for shard, _ in rows):
        which = [i for other, row in rows if other == shard for i in row]
        tables.append(plan[shard].table.take(which))
        places[shard], count = count, count + len(which)
    ends = []
    for shard, row in rows:
        ends.append(range(places[shard], places[shard] + len(row)))
        places[shard] += len(row)
    return PackedRows(SampleTable.concatenate(tables), ends)
