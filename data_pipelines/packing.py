"""Rows of several samples: which samples share one, and the arrays that a batch of rows is.

A row has room for so many slots of each stream, so many clips of each length, and so many entries of whatever else its
system counts. Samples go into the first open row that has room for all of theirs (first fit); a row that finds no more
takers is closed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from motiongpt3_jax.batch import Batch, Example, Field, RowShape, Schema, Sizes, StreamSlots, seeds_of
from motiongpt3_jax.errors import UserError


class Size(NamedTuple):
    """What one sample takes of a row: slots of each stream, frames of each clip, entries of each capacity."""

    slots: tuple[int, ...]
    clips: tuple[int, ...]
    entries: tuple[int, ...]


def size_of(example: Example, shape: RowShape, schema: Schema) -> Size:
    """What `example` takes of a row of `shape`."""
    slots = tuple(len(example.streams[name].ids) if name in example.streams else 0 for name, _ in shape.slots)
    entries = {field.capacity: len(example.extra.get(field.name, ())) for field in schema.fields if field.capacity}
    return Size(
        slots, tuple(clip.frames for clip in example.clips), tuple(entries.get(name, 0) for name, _ in shape.capacities)
    )


def place(lengths: Sequence[int], frames: Sequence[int], free: Sequence[int]) -> list[int] | None:
    """The bucket of each clip: the shortest that is long enough and free; None when one finds none."""
    left = list(free)
    places = []
    for length in lengths:
        bucket = next((b for b, limit in enumerate(frames) if length <= limit and left[b] > 0), None)
        if bucket is None:
            return None
        left[bucket] -= 1
        places.append(bucket)
    return places


def needs_of(sizes: Sizes, shape: RowShape) -> Int[np.ndarray, "samples resources"]:
    """What samples take of each resource of a row, in the order of `capacities_of`."""
    none = np.zeros(len(sizes.clips), np.int64)
    slots = [sizes.slots.get(name, none) for name, _ in shape.slots]
    entries = [sizes.entries.get(name, none) for name, _ in shape.capacities]
    longer = [(sizes.clips > limit).sum(1) for limit in (-1, *(limit for limit, _ in shape.clips))]
    return np.stack([*slots, *entries, *longer, none + 1], axis=1).astype(np.int64)


def capacities_of(shape: RowShape) -> Int[np.ndarray, "resources"]:
    """How much of each resource a row has: slots, entries, places for clips longer than each limit, samples.

    A clip takes the shortest bucket that is long enough and free, and so all of a row's clips find one if and only if
    for each limit no more are longer than there are places for such.
    """
    places = [sum(count for _, count in shape.clips[first:]) for first in range(len(shape.clips) + 1)]
    return np.array([*(n for _, n in shape.slots), *(n for _, n in shape.capacities), *places, shape.samples])


def sizes_of(examples: Sequence[Example], shape: RowShape, schema: Schema) -> Sizes:
    """The sizes of some examples as columns."""
    return _as_columns([size_of(example, shape, schema) for example in examples], shape)


def _as_columns(sizes: Sequence[Size], shape: RowShape) -> Sizes:
    most = max((len(size.clips) for size in sizes), default=0)
    clips = np.array([size.clips + (-1,) * (most - len(size.clips)) for size in sizes], np.int64)
    slots = np.array([size.slots for size in sizes], np.int64).reshape(len(sizes), len(shape.slots))
    entries = np.array([size.entries for size in sizes], np.int64).reshape(len(sizes), len(shape.capacities))
    return Sizes(
        {name: slots[:, i] for i, (name, _) in enumerate(shape.slots)},
        clips.reshape(len(sizes), most),
        {name: entries[:, i] for i, (name, _) in enumerate(shape.capacities)},
        np.ones(len(sizes), bool),
    )


WINDOW = 16
"""Open rows that a sample may go into."""


def pack(sizes: Sequence[Size], shape: RowShape, window: int = WINDOW) -> list[list[int]]:
    """Which samples share a row: first fit over a window of open rows, in the order given.

    Returns:
      Rows of indices into `sizes`, in the order in which they were closed.

    Raises:
      UserError: if a sample does not fit into an empty row; names its index, its size and the row's.
    """
    return first_fit(needs_of(_as_columns(sizes, shape), shape), shape, window)


def first_fit(needs: Int[np.ndarray, "samples resources"], shape: RowShape, window: int = WINDOW) -> list[list[int]]:
    """First-fit bin packing of samples whose needs are known, otherwise as `pack`."""
    capacities = capacities_of(shape)
    too_large = np.flatnonzero((needs > capacities).any(1))
    if len(too_large):
        raise UserError(
            f"sample {too_large[0]} of the epoch takes {_describe(needs[too_large[0]], shape)}, more than an empty row "
            f"holds ({_describe(capacities, shape)}): give rows more slots or longer clips, or shorten the samples"
        )
    if shape.samples == 1:
        return [[index] for index in range(len(needs))]
    # All that is free in a row is one integer, with a bit above each resource that a subtraction clears where there is
    # too little: one comparison instead of one for each resource.
    widths = [int(capacity).bit_length() + 1 for capacity in capacities]
    guards = _join([1 << (width - 1) for width in widths], widths)
    empty = guards | _join(capacities.tolist(), widths)
    closed: list[list[int]] = []
    rows: list[list[int]] = []
    free: list[int] = []
    for index, need in enumerate(_join_all(needs, widths)):
        for place, there in enumerate(free):
            left = there - need
            if left & guards == guards:
                free[place] = left
                rows[place].append(index)
                break
        else:
            free.append(empty - need)
            rows.append([index])
            if len(rows) > window:
                free.pop(0)
                closed.append(rows.pop(0))
    return closed + rows


def _join(numbers: Sequence[int], widths: Sequence[int]) -> int:
    """Numbers of some widths in bits as one, the first lowest."""
    joined = 0
    for number, width in zip(reversed(numbers), reversed(widths)):
        joined = joined << width | number
    return joined


def _join_all(needs: Int[np.ndarray, "samples resources"], widths: Sequence[int]) -> list[int]:
    """`_join` of every row; numpy does as many resources at once as 64 bits hold."""
    joined, shift, first = [0] * len(needs), 0, 0
    while first < len(widths):
        ends = np.cumsum(widths[first:])
        count = max(int((ends < 63).sum()), 1)
        part = (needs[:, first : first + count] << (ends - widths[first:])[:count]).sum(1).tolist()
        joined = [low | high << shift for low, high in zip(joined, part)] if first else part
        shift, first = shift + int(ends[count - 1]), first + count
    return joined


def _describe(needs: Int[np.ndarray, "resources"], shape: RowShape) -> str:
    limits = [f"clips longer than {limit}" for limit, _ in shape.clips]
    names = [*(f"{name} slots" for name, _ in shape.slots), *(name for name, _ in shape.capacities), "clips", *limits]
    return ", ".join(f"{need} {name}" for need, name in zip(needs.tolist(), names) if need)


def build(
    rows: Sequence[Sequence[Example]],
    features: Callable[[int, int], Float[np.ndarray, "frames features"]],
    shape: RowShape,
    schema: Schema,
    feature_count: int,
) -> Batch:
    """The arrays of some rows.

    Args:
      rows: the samples of each row; they fit by `pack`.
      features: normalised features of a sample's clip, by the sample's number and the person.
      shape: how much a row holds.
      schema: which arrays there are.
      feature_count: width of a frame.
    """
    batch = empty(len(rows), shape, schema, feature_count)
    for row, examples in enumerate(rows):
        _Row(batch, row, shape, schema).fill(examples, features)
    return batch


def empty(rows: int, shape: RowShape, schema: Schema, feature_count: int) -> Batch:
    """A batch of padding alone."""

    def zeros(count: int, *more: int, dtype: type = np.int32) -> np.ndarray:
        return np.zeros((rows, count, *more), dtype)

    def sources(slots: int) -> np.ndarray:
        none = zeros(slots, 2)
        none[..., 0] = -1
        return none

    streams = {
        name: StreamSlots(
            ids=zeros(slots),
            positions=zeros(slots),
            segments=zeros(slots),
            attended=zeros(slots, dtype=bool),
            targets=zeros(slots) if name in schema.targets else None,
            weights=zeros(slots, dtype=np.float32) if name in schema.targets else None,
            sources=sources(slots) if name in schema.sources else None,
        )
        for name, slots in shape.slots
    }
    clips, capacities = sum(count for _, count in shape.clips), dict(shape.capacities)
    buckets = () if shape.encoded else shape.clips

    def of(field: Field) -> np.ndarray:
        places = () if field.capacity is None else (capacities.get(field.capacity, 0),)
        return np.full((rows, *places, *field.shape), field.empty, field.dtype)

    return Batch(
        streams=streams,
        clips=tuple(zeros(count, frames, feature_count, dtype=np.float32) for frames, count in buckets),
        clip_frames=zeros(clips),
        clip_seeds=zeros(clips, dtype=np.uint32),
        samples=np.full((rows, shape.samples), -1, np.int32),
        extra={field.name: of(field) for field in schema.fields},
        encoded=zeros(clips, shape.encoded, dtype=np.float32) if shape.encoded else None,
    )


class _Row:
    """One row of a batch while it is being filled."""

    def __init__(self, batch: Batch, row: int, shape: RowShape, schema: Schema):
        self.batch, self.row, self.shape, self.schema = batch, row, shape, schema
        self.used = {name: 0 for name, _ in shape.slots}
        self.bucket_start = np.cumsum([0] + [count for _, count in shape.clips]).tolist()
        self.places = {name: np.arange(count) for name, count in shape.slots}
        self.bucket_used = [0 for _ in shape.clips]
        self.entries = {name: 0 for name, _ in shape.capacities}

    def fill(self, examples: Iterable[Example], features: Callable[[int, int], np.ndarray]) -> None:
        for segment, example in enumerate(examples, start=1):
            clips = self._clips(example, features)
            first = dict(self.used)
            self._slots(example, segment, clips)
            self._extra(example, {name: self.places[name][start:] for name, start in first.items()}, clips)
            self.batch.samples[self.row, segment - 1] = example.number

    def _clips(self, example: Example, features: Callable[[int, int], np.ndarray]) -> np.ndarray:
        """Puts the sample's clips into buckets; their numbers in the row."""
        if not example.clips:
            return np.zeros(0, np.int32)
        frames = [limit for limit, _ in self.shape.clips]
        free = [count - used for (_, count), used in zip(self.shape.clips, self.bucket_used)]
        places = place([clip.frames for clip in example.clips], frames, free)
        if places is None:
            raise UserError(f"the clips of sample {example.number} do not fit into its row")
        numbers = []
        for bucket, clip in zip(places, example.clips):
            within = self.bucket_used[bucket]
            numbers.append(self.bucket_start[bucket] + within)
            self.bucket_used[bucket] += 1
            if not example.encoded:
                motion = features(example.number, clip.person)
                self.batch.clips[bucket][self.row, within, : clip.frames] = motion[clip.start : clip.stop]
        if example.encoded:
            self.batch.encoded[self.row, numbers] = example.encoded
        self.batch.clip_frames[self.row, numbers] = [clip.frames for clip in example.clips]
        self.batch.clip_seeds[self.row, numbers] = seeds_of(example.number, len(numbers))
        return np.array(numbers, np.int32)

    def _slots(self, example: Example, segment: int, clips: np.ndarray) -> None:
        for name, slots in example.streams.items():
            if not len(slots.ids):
                continue
            here = slice(self.used[name], self.used[name] + len(slots.ids))
            stream = self.batch.streams[name]
            if here.stop > stream.ids.shape[1]:
                raise UserError(
                    f"sample {example.number} takes {len(slots.ids)} {name} slots, more than are left of the "
                    f"{stream.ids.shape[1]} of a row: give rows more slots, or shorten the samples"
                )
            stream.ids[self.row, here] = slots.ids
            stream.positions[self.row, here] = slots.positions
            stream.segments[self.row, here] = segment
            stream.attended[self.row, here] = slots.attended
            if slots.targets is not None:
                stream.targets[self.row, here] = slots.targets
                stream.weights[self.row, here] = slots.weights
            if slots.sources is not None:
                stream.sources[self.row, here, 0] = _renumbered(slots.sources[:, 0], clips)
                stream.sources[self.row, here, 1] = slots.sources[:, 1]
            self.used[name] = here.stop

    def _extra(self, example: Example, slots: Mapping[str, np.ndarray], clips: np.ndarray) -> None:
        taken = dict(self.entries)
        for field in self.schema.fields:
            if field.name not in example.extra:
                continue
            array, entries = self.batch.extra[field.name], np.asarray(example.extra[field.name])
            if field.capacity is None:
                array[self.row] += entries.astype(array.dtype)
                continue
            if not len(entries):
                continue
            if field.counts is not None:
                entries = _renumbered(entries, clips if field.counts == "clips" else slots[field.counts])
            first = self.entries[field.capacity]
            array[self.row, first : first + len(entries)] = entries
            taken[field.capacity] = first + len(entries)
        self.entries = taken


def _renumbered(numbers: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Numbers that counted in a sample, as those of the row; negative ones stay."""
    numbers = np.array(numbers)
    counts = numbers >= 0
    numbers[counts] = places[numbers[counts]]
    return numbers


def useful(batch: Batch) -> dict[str, float]:
    """Shares of slots and frames that hold something, and counts of samples and tokens."""
    shares = {f"{name}_slots_used": float((s.segments > 0).mean()) for name, s in batch.streams.items() if s.ids.size}
    frames = sum(clips.shape[0] * clips.shape[1] * clips.shape[2] for clips in batch.clips)
    if frames:
        shares["frames_used"] = float(batch.clip_frames.sum() / frames)
    tokens = sum(int((s.segments > 0).sum()) for s in batch.streams.values())
    return {
        **shares,
        "samples": float((batch.samples >= 0).sum()),
        "tokens": float(tokens or batch.clip_frames.sum()),
    }
