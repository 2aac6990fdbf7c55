"""From clips to batches: crop, normalise, prompt, lay out, pack, in an order that is a pure function of the step.

Which samples share global row r of epoch e depends on (seed, e) alone, and each sample's draws on (seed, e, sample).
So the whole state of the data is one integer, the step, on any number of processes. Every epoch has the same number of
batches, enough for all of its rows; its rows are dealt evenly over them, and empty rows fill each batch up.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

import grain
import numpy as np
from absl import flags
from jaxtyping import Float, Int

from motiongpt3_jax.batch import Batch, ClipRange, Example, Layout, Sample
from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.data_pipelines.packing import RowShape, build, pack, size_of, spare_rows, useful
from motiongpt3_jax.errors import UserError

ORDER = 2
"""Version of the order in which samples come, for a seed and a data set. It rises when that order changes: a run keeps
to the one that it began with."""


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
class Visit:
    """One visit of one clip in one epoch, with everything that chance decides about it."""

    sample: Sample
    clip: int
    start: int


class Plan(NamedTuple):
    """How an epoch is packed.

    Attributes:
      rows: numbers of the samples of each row.
      spare: rows that other epochs may take beyond these.
    """

    rows: list[list[int]]
    spare: int


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
      codes: codes of parts of every clip, where a system has encoded them before.
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
    codes: Sequence[Mapping[ClipRange, Int[np.ndarray, "codes"]]] | None = None
    _plans: dict[int, Plan] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def steps_per_epoch(self) -> int:
        """Batches of every epoch: enough for the rows of the first and what other draws may add to them."""
        rows, spare = self.plan(0)
        return math.ceil((len(rows) + spare) / self.options.rows)

    def visit(self, epoch: int, number: int) -> Visit:
        """Sample `number` of an epoch: clip `number // subtasks`, with its caption, crop and prompt draws."""
        clip, subtask = divmod(number, len(self.options.subtasks))
        draws = np.random.Generator(np.random.Philox(key=[self.options.seed, epoch], counter=[0, 0, 0, number]))
        caption, cut, place, pick_in, pick_out, coin_in, coin_out, draw = draws.random(8)
        start, frames = _crop(self.lengths[clip], cut, place) if self.options.crop else (0, self.lengths[clip])
        captions = self.captions[clip]
        persons, numbers = self.extras[clip] if self.extras else (1, {})
        sample = Sample(
            number=number,
            frames=frames,
            caption=captions[int(caption * len(captions))] if captions else "",
            subtask=self.options.subtasks[subtask][0],
            picks=(pick_in, pick_out),
            coins=(coin_in, coin_out),
            persons=persons,
            numbers=numbers,
            draw=draw,
            codes=self.codes[clip] if self.codes else {},
        )
        return Visit(sample, clip, start)

    def sample_order(self, epoch: int) -> np.ndarray:
        """The samples of an epoch in the order in which they are packed."""
        chances = np.array([chance for _, chance in self.options.subtasks])
        draws = np.random.Generator(np.random.Philox(key=[self.options.seed, epoch], counter=[0, 0, 1, 0]))
        uniform = draws.random((len(self.lengths), len(chances)))
        chosen = np.flatnonzero((uniform < chances).ravel())
        return draws.permutation(chosen) if self.options.shuffle else chosen

    def plan(self, epoch: int) -> Plan:
        """The rows of an epoch.

        Raises:
          UserError: they are more than the batches of an epoch hold.
        """
        if epoch not in self._plans:
            while len(self._plans) > 2:
                self._plans.pop(next(key for key in self._plans if key != 0))
            self._plans[epoch] = self._pack(epoch)
        return self._plans[epoch]

    def _pack(self, epoch: int) -> Plan:
        numbers, shape = self.sample_order(epoch), self.options.shape
        examples = self.layout([self.visit(epoch, int(number)).sample for number in numbers])
        sizes = [size_of(example, shape, self.layout.schema) for example in examples]
        rows = pack(sizes, shape)
        if epoch and len(rows) > (room := self.steps_per_epoch * self.options.rows):
            raise UserError(
                f"epoch {epoch} takes {len(rows)} rows and its {self.steps_per_epoch} batches of "
                f"{self.options.rows} rows hold {room}; give rows room for more samples, or batches more rows."
            )
        chances = [chance for _, chance in self.options.subtasks]
        spare = spare_rows(sizes, shape, len(self.lengths), chances)
        return Plan([[int(numbers[i]) for i in row] for row in rows], spare)

    def batch(self, step: int) -> Batch:
        """This process's rows of batch `step`, counted over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        rows, steps = self.plan(epoch).rows, self.steps_per_epoch
        return self._filled(epoch, rows[place * len(rows) // steps : (place + 1) * len(rows) // steps])

    def first_batches(self, count: int) -> Iterator[Batch]:
        """Up to `count` batches of the first epoch's rows, as full as they can be."""
        rows, size = self.plan(0).rows, self.options.rows
        for first in range(0, min(len(rows), count * size), size):
            yield self._filled(0, rows[first : first + size])

    def _filled(self, epoch: int, rows: list[list[int]]) -> Batch:
        """This process's part of a batch of these rows, and of empty ones up to its size."""
        full = [*rows, *([] for _ in range(self.options.rows - len(rows)))]
        return self._build(epoch, full if self.rows is None else [full[row] for row in self.rows])

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

    def _build(self, epoch: int, rows: list[list[int]]) -> Batch:
        visits = {number: self.visit(epoch, number) for row in rows for number in row}
        flat = [number for row in rows for number in row]
        laid_out = dict(zip(flat, self.layout([visits[number].sample for number in flat])))
        examples: list[list[Example]] = [[laid_out[number] for number in row] for row in rows]

        @lru_cache(maxsize=4)
        def features(number: int, person: int) -> np.ndarray:
            visit = visits[number]
            raw = self.source[visit.clip].persons[person][visit.start : visit.start + visit.sample.frames]
            return ((raw - self.mean) / self.std).astype(np.float32)

        return build(examples, features, self.options.shape, self.layout.schema, len(self.mean))


@dataclass(frozen=True)
class StageData:
    """What a stage trains on, and what it is validated on.

    Attributes:
      train: endless batches.
      held_out: batches of another split; None when there is none.
      validation_batches: how many of them make a validation.
      order: version of the order in which samples come.
    """

    train: Loader
    held_out: Loader | None
    validation_batches: int
    order: int = ORDER

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


def _crop(frames: int, cut: float, place: float) -> tuple[int, int]:
    """(start, frames) of a visit: whole with chance 2/3, else a multiple of four frames somewhere in the clip."""
    quarters = frames // 4
    if cut < 2 / 3 or quarters < 2:
        return 0, frames
    length = 4 * (quarters - 1 if cut < 5 / 6 else quarters)
    return int(place * (frames - length + 1)), length
