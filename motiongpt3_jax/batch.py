"""What passes between the data and the systems: samples laid out, and rows of them.

A *row* holds one or several samples, told apart by their segment. Each stream has its own dense arrays of slots; a
slot's position says where it stands in its sample's sequence. Streams are known by name alone; what one system needs
beside them travels in `extra`, by the `Field`s that its layout declares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from flax import struct
from jaxtyping import Bool, Float, Int, Shaped, UInt


@dataclass(frozen=True)
class Slots:
    """One stream's part of a laid-out sample.

    Attributes:
      ids: token ids of the stream's own vocabulary.
      positions: places in the sample's sequence, from 0.
      attended: whether the slot may be a key; others may still query.
      targets: the id that each slot predicts; None in a stream without targets.
      weights: weight of each target in the loss; 0 leaves it out.
      sources: (clip, chunk) of the encoded clip that fills each slot, or (-1, 0) for its id's own embedding; None in a
        stream that no clip enters.
    """

    ids: Int[np.ndarray, "slots"]
    positions: Int[np.ndarray, "slots"]
    attended: Bool[np.ndarray, "slots"]
    targets: Int[np.ndarray, "slots"] | None = None
    weights: Float[np.ndarray, "slots"] | None = None
    sources: Int[np.ndarray, "slots 2"] | None = None


class ClipRange(NamedTuple):
    """Frames of a sample's clip that are encoded.

    Attributes:
      start, stop: the frames.
      person: whose.
    """

    start: int
    stop: int
    person: int = 0

    @property
    def frames(self) -> int:
        """How many they are."""
        return self.stop - self.start


@dataclass(frozen=True)
class Sample:
    """What a layout lays out: a captioned clip, a task, and the draws that decide its prompt.

    Attributes:
      number: the sample's number in its epoch; seeds every random draw that belongs to it.
      frames: length of the (cropped) clip.
      caption: the sentence that goes with it.
      subtask: name of the sub-task whose templates are used.
      picks: two numbers in [0, 1) that choose the input and the output template.
      coins: two numbers in [0, 1); below 0.5 the caption in the input (output) is quoted.
      persons: how many persons' motions the clip holds, each as long.
      numbers: named numbers that the clip brings along, such as the place of a second person in the first one's frame.
      draw: a number in [0, 1) for whatever else a layout draws.
      codes: what an encoder made of pieces of the clip, by their frames, where it has done so before: ids, or numbers
        for `Example.encoded`.
    """

    number: int
    frames: int
    caption: str
    subtask: str
    picks: tuple[float, float] = (0.0, 0.0)
    coins: tuple[float, float] = (1.0, 1.0)
    persons: int = 1
    numbers: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    draw: float = 0.0
    codes: Mapping[ClipRange, Shaped[np.ndarray, "codes"]] = field(default_factory=dict)


@dataclass(frozen=True)
class Example:
    """One sample as a system's layout made it: what a row is packed from.

    Attributes:
      number: the sample's number.
      streams: the slots of each stream.
      clips: frames of the sample's clip, one entry for each piece to encode.
      encoded: what an encoder has made of each of them before; empty where the model encodes them.
      extra: the system's own arrays by the names of its layout's fields: (entries, ...) of a field with a capacity,
        one number of a field that is summed.
    """

    number: int
    streams: Mapping[str, Slots] = field(default_factory=dict)
    clips: tuple[ClipRange, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    encoded: tuple[Float[np.ndarray, "numbers"], ...] = ()


@dataclass(frozen=True)
class Field:
    """An array that one system alone needs, and how the samples of a row are packed into it.

    Attributes:
      name: its key in `Example.extra` and `Batch.extra`.
      capacity: name of the row's capacity that its entries take, one after the other; fields of one capacity have as
        many entries in a sample. None for a number a sample, of which a row holds the sum.
      shape: of an entry.
      dtype: of its numbers.
      empty: what a place without an entry holds.
      counts: what its numbers count: "clips" are clips of the sample, the name of a stream slots of it in the sample;
        in a row they become those of the row. None for numbers that stay as they are. Negative ones stay in any case.
    """

    name: str
    capacity: str | None = None
    shape: tuple[int, ...] = ()
    dtype: str = "int32"
    empty: int = 0
    counts: str | None = None


@dataclass(frozen=True)
class Schema:
    """Which arrays the batches of a layout have.

    Attributes:
      targets: names of the streams that have targets.
      sources: names of the streams that encoded clips enter.
      fields: the system's own arrays.
    """

    targets: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True)
class RowShape:
    """How much one row holds.

    Attributes:
      slots: (stream, slots) pairs.
      clips: (frames, clips) buckets of rising length; a clip lies in the first bucket that is long enough and free.
      samples: samples in one row; 1 switches packing off.
      capacities: (name, entries) pairs: room for the system's own fields, see `Field.capacity`.
      encoded: numbers of a clip that was encoded before; 0 where rows hold frames.
    """

    slots: tuple[tuple[str, int], ...]
    clips: tuple[tuple[int, int], ...]
    samples: int
    capacities: tuple[tuple[str, int], ...] = ()
    encoded: int = 0


@dataclass(frozen=True, eq=False)
class SampleSource:
    """What all samples of a data set have in common: their texts, their tasks, what clips bring along.

    Attributes:
      texts: every caption; a sample without one has an empty text among them.
      subtasks: names of the sub-tasks.
      extras: persons of every clip and its named numbers; None where each has one person and no numbers.
      codes: what an encoder made of parts of every clip, where it has done so before.
    """

    texts: Sequence[str]
    subtasks: Sequence[str]
    extras: Sequence[tuple[int, Mapping[str, tuple[float, ...]]]] | None = None
    codes: Sequence[Mapping[ClipRange, Shaped[np.ndarray, "codes"]]] | None = None


@dataclass(frozen=True, eq=False)
class SampleTable:
    """Samples as columns (structure of arrays): what `Sample` says of one, for many at once.

    Attributes:
      source: what they have in common.
      numbers: the samples' numbers in their epoch.
      clips: which clip each shows.
      starts, frames: which of its frames: so many from there on.
      texts: the caption of each, by its place in `source.texts`.
      subtasks: its sub-task, by its place in `source.subtasks`.
      picks, coins, draws: see `Sample`.
    """

    source: SampleSource
    numbers: Int[np.ndarray, "samples"]
    clips: Int[np.ndarray, "samples"]
    starts: Int[np.ndarray, "samples"]
    frames: Int[np.ndarray, "samples"]
    texts: Int[np.ndarray, "samples"]
    subtasks: Int[np.ndarray, "samples"]
    picks: Float[np.ndarray, "samples 2"]
    coins: Float[np.ndarray, "samples 2"]
    draws: Float[np.ndarray, "samples"]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def persons(self) -> Int[np.ndarray, "samples"]:
        """How many persons' motions the clip of each holds."""
        extras = self.source.extras
        return np.array([extras[clip][0] if extras else 1 for clip in self.clips.tolist()], np.int64)

    def take(self, which: Any) -> "SampleTable":
        """Some of them, as numpy indexes."""
        columns = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "source"}
        return SampleTable(self.source, **{name: column[which] for name, column in columns.items()})

    @classmethod
    def concatenate(cls, tables: Sequence["SampleTable"]) -> "SampleTable":
        """Those of several tables of one source, one behind the other."""
        names = [item.name for item in fields(cls) if item.name != "source"]
        columns = {name: np.concatenate([getattr(table, name) for table in tables]) for name in names}
        return cls(tables[0].source, **columns)

    def samples(self) -> list[Sample]:
        """One object each."""
        texts, subtasks, extras, codes = self.source.texts, self.source.subtasks, self.source.extras, self.source.codes
        columns = (self.numbers, self.clips, self.frames, self.texts, self.subtasks, self.picks, self.coins, self.draws)
        return [
            Sample(
                number=number,
                frames=frames,
                caption=texts[text],
                subtask=subtasks[subtask],
                picks=tuple(picks),
                coins=tuple(coins),
                persons=extras[clip][0] if extras else 1,
                numbers=extras[clip][1] if extras else {},
                draw=draw,
                codes=codes[clip] if codes else {},
            )
            for number, clip, frames, text, subtask, picks, coins, draw in zip(*(x.tolist() for x in columns))
        ]


class Layout(Protocol):
    """A system's way to lay samples out; pure, and the same for one sample as for many."""

    @property
    def schema(self) -> Schema:
        """The arrays that it fills."""

    def __call__(self, samples: Sequence[Sample]) -> list[Example]:
        """One example per sample, each independent of the others."""


@dataclass(frozen=True, eq=False)
class Sizes:
    """What samples take of a row, as columns.

    Attributes:
      slots: slots of each stream.
      clips: frames of each clip; -1 where a sample has fewer.
      entries: entries of each capacity of a row, see `Field.capacity`.
      known: of which samples this is right; the others have to be laid out to be measured.
    """

    slots: Mapping[str, Int[np.ndarray, "samples"]]
    clips: Int[np.ndarray, "samples clips"]
    entries: Mapping[str, Int[np.ndarray, "samples"]]
    known: Bool[np.ndarray, "samples"]


@runtime_checkable
class SizedLayout(Protocol):
    """A layout that measures samples without laying them out, which planning an epoch takes most of its time for."""

    def sizes(self, table: SampleTable) -> Sizes:
        """What samples take, exactly as the layout would lay them out."""


SEEDS_PER_SAMPLE = 8
"""Clips (or entries of a field) that one sample may have: spaces the seeds of samples apart."""


def seeds_of(number: int, count: int) -> UInt[np.ndarray, "count"]:
    """Seeds of the draws of so many clips, or generated clips, of a sample.

    Raises:
      ValueError: they are more than a sample may have; the next sample would share them.
    """
    if count > SEEDS_PER_SAMPLE:
        raise ValueError(f"a sample has {count} clips, and seeds for {SEEDS_PER_SAMPLE}")
    return np.uint32(number * SEEDS_PER_SAMPLE) + np.arange(count, dtype=np.uint32)


class StreamSlots(struct.PyTreeNode):
    """One stream's slots of a batch of rows; segment 0 is padding. What its layout does not declare is None."""

    ids: Int[np.ndarray, "rows slots"]
    positions: Int[np.ndarray, "rows slots"]
    segments: Int[np.ndarray, "rows slots"]
    attended: Bool[np.ndarray, "rows slots"]
    targets: Int[np.ndarray, "rows slots"] | None = None
    weights: Float[np.ndarray, "rows slots"] | None = None
    sources: Int[np.ndarray, "rows slots 2"] | None = None


class Batch(struct.PyTreeNode):
    """Rows of packed samples.

    Clips lie in buckets of rising length; whatever counts clips counts through the buckets in order.

    Attributes:
      streams: the slots of each stream; empty for a stage that only sees clips.
      clips: one array per bucket, normalised features, zero beyond a clip's own frames; none where clips were encoded
        before.
      clip_frames: valid frames of every clip; 0 marks an empty place.
      clip_seeds: seed of every clip's draws: unique to (sample, clip of that sample).
      samples: numbers of the samples in each row; -1 marks an empty place.
      extra: the system's own arrays, see `Field`: (rows, places, ...), or (rows,) of sums.
      encoded: what an encoder made of every clip before; None where the model encodes them.
    """

    streams: dict[str, StreamSlots]
    clips: tuple[Float[np.ndarray, "rows clips frames features"], ...]
    clip_frames: Int[np.ndarray, "rows clips"]
    clip_seeds: UInt[np.ndarray, "rows clips"]
    samples: Int[np.ndarray, "rows samples"]
    extra: dict[str, np.ndarray] = struct.field(default_factory=dict)
    encoded: Float[np.ndarray, "rows clips numbers"] | None = None


class Places(struct.PyTreeNode):
    """Where each of some samples lies in packed rows, to take them apart again.

    Attributes:
      slots: of each stream: a sample's slots, counted through all rows; -1 where it has no more.
      samples: its place among the samples of all rows.
    """

    slots: dict[str, Int[np.ndarray, "samples slots"]]
    samples: Int[np.ndarray, "samples"]
