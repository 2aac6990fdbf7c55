"""From clips to batches: crop, normalise, prompt, lay out, pack, in an order that is a pure function of the step.

Which samples share global row r of epoch e, and what chance decides about each, depends on (seed, e) alone. So the
whole state of the data is one integer, the step, on any number of processes.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import grain
import numpy as np
from absl import flags
from jaxtyping import Float, Shaped

from motiongpt3_jax.batch import Batch, ClipRange, Layout, RowShape
from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.data_pipelines.order import Order, PackedRows
from motiongpt3_jax.data_pipelines.packing import build, useful
from motiongpt3_jax.data_pipelines.sample_draws import Visits
from motiongpt3_jax.data_pipelines.sharded_order import ShardedOrder
from motiongpt3_jax.data_pipelines.whole_epoch_order import WholeEpochOrder
from motiongpt3_jax.errors import UserError

ORDERS: Mapping[int, Callable[[Visits, Layout, RowShape, int], Order]] = {2: WholeEpochOrder, 3: ShardedOrder}
"""The orders in which samples come, by their version. A run keeps to the one that it began with."""

ORDER = max(ORDERS)
"""The order of new runs."""


SAMPLE = re.compile(r"(.*) \((.*)\)", re.DOTALL)
"""The name of a sample: its clip and sub-task."""


@dataclass(frozen=True)
class LoaderOptions:
    """How samples are drawn and batched.

    Attributes:
      seed: decides order and draws.
      rows: rows in one global batch.
      shape: how much a row holds.
      subtasks: (name, chance that a clip is visited with it in an epoch).
      shuffle: False keeps the clips' order, each with its sub-tasks side by side (the official single-GPU order).
      crop: whether a third of the visits see the clip cut to a multiple of four frames, as the official data does.
      workers: Grain worker processes; 0 loads in threads of this process.
    """

    seed: int
    rows: int
    shape: RowShape
    subtasks: tuple[tuple[str, float], ...]
    shuffle: bool
    crop: bool
    workers: int


@dataclass(frozen=True)
class Loader:
    """Batches of one stage.

    Attributes:
      source: the clips, by index.
      lengths: frames of every clip.
      captions: captions of every clip.
      mean, std: statistics that normalise the features.
      layout: the system's layout.
      options: how samples are drawn and batched.
      rows: the rows of each global batch that this process loads; all of them when not given.
      extras: persons of every clip and its named numbers, see `Clip`; None where each has one person and no numbers.
      codes: what an encoder made of parts of every clip, where it has done so before.
      version: of the order in which samples come, one of `ORDERS`.
      left_out: numbers of samples that never come, see `find_samples`; all others come when and where they did.
    """

    source: Sequence[Clip]
    lengths: Sequence[int]
    captions: Sequence[tuple[str, ...]]
    mean: Float[np.ndarray, "features"]
    std: Float[np.ndarray, "features"]
    layout: Layout
    options: LoaderOptions
    rows: Sequence[int] | None = None
    extras: Sequence[tuple[int, Mapping[str, tuple[float, ...]]]] | None = None
    codes: Sequence[Mapping[ClipRange, Shaped[np.ndarray, "codes"]]] | None = None
    version: int = ORDER
    left_out: Collection[int] = frozenset()

    @cached_property
    def order(self) -> Order:
        """Which samples share the rows of each batch."""
        options = self.options
        visits = Visits(
            seed=options.seed,
            subtasks=options.subtasks,
            shuffle=options.shuffle,
            crop=options.crop,
            lengths=self.lengths,
            captions=self.captions,
            extras=self.extras,
            codes=self.codes,
        )
        return ORDERS[self.version](visits, self.layout, options.shape, options.rows)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of every epoch."""
        return self.order.steps_per_epoch

    def batch(self, step: int) -> Batch:
        """This process's rows of batch `step`, counted over all epochs."""
        return self._build(self._without_left_out(self.order.batch_rows(step, self._here)))

    def first_batches(self, count: int) -> Iterator[Batch]:
        """Up to `count` batches of the first epoch's rows, as full as they can be."""
        size = self.options.rows
        table, rows = self.order.first_rows(count * size)
        for first in range(0, len(rows), size):
            full = [rows[i] if i < len(rows) else () for i in range(first, first + size)]
            yield self._build(PackedRows(table, [full[row] for row in self._here]))

    @property
    def _here(self) -> Sequence[int]:
        return range(self.options.rows) if self.rows is None else self.rows

    def batches(self, start_step: int = 0) -> Iterator[Batch]:
        """Batches from `start_step` on, without end, read ahead by Grain."""
        steps = grain.MapDataset.range(start_step, 2**31 - 1).map(self.batch)
        read = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
        ahead = steps.to_iter_dataset(read)
        if self.options.workers:
            if not flags.FLAGS.is_parsed():
                # Grain's workers read absl's flags, which only absl's own programs parse.
                flags.FLAGS.mark_as_parsed()
            ahead = ahead.mp_prefetch(grain.MultiprocessingOptions(num_workers=self.options.workers))
        return iter(ahead)

    def describe(self, numbers: Sequence[int]) -> list[str]:
        """Names of samples for messages: their clip and sub-task."""
        tasks = self.options.subtasks
        return [f"{self.source[n // len(tasks)].id} ({tasks[n % len(tasks)][0]})" for n in numbers if n >= 0]

    def _without_left_out(self, packed: PackedRows) -> PackedRows:
        """The rows with empty places where samples are left out; the others keep theirs."""
        if not self.left_out:
            return packed
        keep = ~np.isin(packed.table.numbers, sorted(self.left_out))
        return PackedRows(packed.table, [[i for i in row if keep[i]] for row in packed.rows])

    def _build(self, packed: PackedRows) -> Batch:
        table = packed.table.take([i for row in packed.rows for i in row])
        examples = iter(self.layout(table.samples()))
        rows = [[next(examples) for _ in row] for row in packed.rows]
        places = {number: place for place, number in enumerate(table.numbers.tolist())}

        @lru_cache(maxsize=4)
        def features(number: int, person: int) -> np.ndarray:
            place = places[number]
            start = table.starts[place]
            clip = self.source[int(table.clips[place])].persons[person]
            return ((clip[start : start + table.frames[place]] - self.mean) / self.std).astype(np.float32)

        return build(rows, features, self.options.shape, self.layout.schema, len(self.mean))


def find_samples(names: Sequence[str], ids: Sequence[str], subtasks: Sequence[str]) -> frozenset[int]:
    """Numbers of the samples that some names mean.

    Args:
      names: "CLIP (SUB-TASK)", as `Loader.describe` says it, or "CLIP" for all of its samples.
      ids: name of every clip.
      subtasks: those of a stage; one that only other stages have means nothing here.

    Raises:
      UserError: there is no such clip.
    """
    places = {name: place for place, name in enumerate(ids)}
    numbers: set[int] = set()
    for name in names:
        sample = SAMPLE.fullmatch(name)
        clip, tasks = (sample[1], [sample[2]]) if sample and name not in places else (name, subtasks)
        if clip not in places:
            raise UserError(f"data.leave_out names {name!r}; no training clip has this name")
        numbers |= {places[clip] * len(subtasks) + i for i, task in enumerate(subtasks) if task in tasks}
    return frozenset(numbers)


@dataclass(frozen=True)
class StageData:
    """What a stage trains on, and what it is validated on.

    Attributes:
      train: endless batches.
      held_out: batches of another split; None when there is none.
      validation_batches: how many of them make a validation.
    """

    train: Loader
    held_out: Loader | None
    validation_batches: int

    @property
    def order(self) -> int:
        """Version of the order in which samples come."""
        return self.train.version

    @property
    def rows(self) -> int:
        """Rows of a global batch."""
        return self.train.options.rows

    def batch(self, step: int) -> Batch:
        """This process's rows of training batch `step`."""
        return self.train.batch(step)

    def batches(self, start_step: int = 0) -> Iterator[Batch]:
        """Training batches from `start_step` on, without end."""
        return self.train.batches(start_step)

    def validation(self) -> Iterator[Batch]:
        """The same validation batches at every call."""
        if self.held_out is not None:
            yield from self.held_out.first_batches(self.validation_batches)

    def describe(self, numbers: Sequence[int]) -> list[str]:
        """Names of training samples."""
        return self.train.describe(numbers)

    def useful(self, batch: Batch) -> dict[str, float]:
        """Samples and tokens of a batch, and the shares of slots and frames that hold something."""
        return useful(batch)
