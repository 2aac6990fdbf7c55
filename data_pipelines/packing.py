"""Rows of several samples: which samples share one, and the arrays that a batch of rows is.

A row has room for so many slots of each modality, so many clips of each length, so many outputs. Samples go into the
first open row that has room for all of theirs; a row that finds no more takers is closed.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.batch import Batch, Example, StreamSlots


@dataclass(frozen=True)
class RowShape:
    """How much one row holds.

    Attributes:
      slots: (modality, slots) pairs.
      clips: (frames, clips) buckets of rising length; a clip lies in the first bucket that is long enough and free.
      outputs: clips to generate.
      samples: samples in one row; 1 switches packing off.
      holders: slots that stand for one generated clip.
    """

    slots: tuple[tuple[str, int], ...]
    clips: tuple[tuple[int, int], ...]
    outputs: int
    samples: int
    holders: int = 4


class Size(NamedTuple):
    """What one sample takes of a row."""

    slots: tuple[int, ...]
    clips: tuple[int, ...]
    outputs: int


def size_of(example: Example, shape: RowShape) -> Size:
    """What `example` takes of a row of `shape`."""
    slots = tuple(len(example.streams[name].ids) if name in example.streams else 0 for name, _ in shape.slots)
    return Size(slots, tuple(stop - start for start, stop in example.clips), len(example.outputs))


class Room:
    """What is still free in a row."""

    def __init__(self, shape: RowShape):
        self.slots = [count for _, count in shape.slots]
        self.frames = [frames for frames, _ in shape.clips]
        self.clips = [count for _, count in shape.clips]
        self.outputs = shape.outputs
        self.samples = shape.samples

    def take(self, size: Size) -> bool:
        """Reserves what a sample takes; returns False, and reserves nothing, when it does not fit."""
        if self.samples < 1 or self.outputs < size.outputs:
            return False
        if any(free < need for free, need in zip(self.slots, size.slots)):
            return False
        places = place(size.clips, self.frames, self.clips)
        if places is None:
            return False
        self.samples -= 1
        self.outputs -= size.outputs
        self.slots = [free - need for free, need in zip(self.slots, size.slots)]
        for bucket in places:
            self.clips[bucket] -= 1
        return True


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


def spare_rows(sizes: Sequence[Size], shape: RowShape, clips: int, chances: Sequence[float]) -> int:
    """Rows that another epoch may take beyond those of this one, as its samples are drawn anew.

    Six standard deviations and two rows; none where all samples are alike. A sample counts as the part of a row that it
    takes of what it takes most of. That part is drawn anew from those of all samples, which is more than another crop,
    caption or template changes it and makes up for what another order changes in the packing.

    Args:
      sizes: the samples of one epoch.
      shape: how much a row holds.
      clips: clips that may be visited.
      chances: of a visit, for each sub-task.
    """
    parts = np.array([_part(size, shape) for size in sizes] or [0.0])
    visits = clips * sum(chance * (1 - chance) for chance in chances)
    deviation = math.sqrt(len(sizes) * parts.var() + visits * np.mean(parts**2))
    return math.ceil(6 * deviation) + 2 if deviation > 1e-6 else 0


def _part(size: Size, shape: RowShape) -> float:
    """The part of a row that a sample takes of what it takes most of."""
    parts = [1 / shape.samples, *(need / have for need, (_, have) in zip(size.slots, shape.slots))]
    parts.append(size.outputs / shape.outputs if shape.outputs else 0.0)
    room = [sum(count for limit, count in shape.clips if limit >= frames) for frames in size.clips]
    return max(*parts, sum(1 / places for places in room))


def pack(sizes: Sequence[Size], shape: RowShape, window: int = 16) -> list[list[int]]:
    """Which samples share a row: first fit over a window of open rows, in the order given.

    Returns:
      Rows of indices into `sizes`, in the order in which they were closed.

    Raises:
      ValueError: if a sample does not fit into an empty row; names its index, its size and the row's.
    """
    closed: list[list[int]] = []
    open_rows: list[tuple[Room, list[int]]] = []
    for index, size in enumerate(sizes):
        if any(room.take(size) and not row.append(index) for room, row in open_rows):
            continue
        room = Room(shape)
        if not room.take(size):
            raise ValueError(
                f"sample {index} of the epoch takes {size}, more than an empty row holds ({shape}): "
                "give rows more slots or longer clips, or shorten the samples"
            )
        open_rows.append((room, [index]))
        if len(open_rows) > window or shape.samples == 1:
            closed.append(open_rows.pop(0)[1])
    return closed + [row for _, row in open_rows]


def build(
    rows: Sequence[Sequence[Example]],
    features: Callable[[int], Float[np.ndarray, "frames features"]],
    shape: RowShape,
    feature_count: int,
) -> Batch:
    """The arrays of some rows.

    Args:
      rows: the samples of each row; they fit by `pack`.
      features: normalised features of a sample's clip, by the sample's number.
      shape: how much a row holds.
      feature_count: width of a frame.
    """
    batch = empty(len(rows), shape, feature_count)
    for row, examples in enumerate(rows):
        _Row(batch, row, shape).fill(examples, features)
    return batch


def empty(rows: int, shape: RowShape, feature_count: int) -> Batch:
    """A batch of padding alone."""
    streams = {
        name: StreamSlots(
            ids=np.zeros((rows, slots), np.int32),
            positions=np.zeros((rows, slots), np.int32),
            segments=np.zeros((rows, slots), np.int32),
            attended=np.zeros((rows, slots), bool),
        )
        for name, slots in shape.slots
    }
    text, motion = (dict(shape.slots).get(name, 0) for name in ("text", "motion"))
    clips = sum(count for _, count in shape.clips)
    inputs = np.zeros((rows, motion, 2), np.int32)
    inputs[..., 0] = -1
    return Batch(
        streams=streams,
        targets=np.zeros((rows, text), np.int32),
        weights=np.zeros((rows, text), np.float32),
        clips=tuple(np.zeros((rows, count, frames, feature_count), np.float32) for frames, count in shape.clips),
        clip_frames=np.zeros((rows, clips), np.int32),
        clip_seeds=np.zeros((rows, clips), np.uint32),
        inputs=inputs,
        outputs=np.zeros((rows, shape.outputs, shape.holders), np.int32),
        output_clip=np.full((rows, shape.outputs), -1, np.int32),
        output_seeds=np.zeros((rows, shape.outputs), np.uint32),
        blind=np.zeros(rows, np.int32),
        samples=np.full((rows, shape.samples), -1, np.int32),
    )


SEEDS_PER_SAMPLE = 8
"""Clips (or outputs) that one sample may have: spaces the seeds of samples apart."""


class _Row:
    """One row of a batch while it is being filled."""

    def __init__(self, batch: Batch, row: int, shape: RowShape):
        self.batch, self.row, self.shape = batch, row, shape
        self.used = {name: 0 for name, _ in shape.slots}
        self.bucket_start = np.cumsum([0] + [count for _, count in shape.clips])
        self.bucket_used = [0 for _ in shape.clips]
        self.outputs = 0

    def fill(self, examples: Iterable[Example], features: Callable[[int], np.ndarray]) -> None:
        for segment, example in enumerate(examples, start=1):
            clips = self._clips(example, features)
            start = dict(self.used)
            self._slots(example, segment, clips)
            self._outputs(example, start.get("motion", 0), clips)
            self.batch.samples[self.row, segment - 1] = example.number
            self.batch.blind[self.row] += example.blind

    def _clips(self, example: Example, features: Callable[[int], np.ndarray]) -> list[int]:
        if not example.clips:
            return []
        motion = features(example.number)
        frames = [limit for limit, _ in self.shape.clips]
        free = [count - used for (_, count), used in zip(self.shape.clips, self.bucket_used)]
        places = place([stop - start for start, stop in example.clips], frames, free)
        if places is None:
            raise ValueError(f"the clips of sample {example.number} do not fit into its row")
        numbers = []
        for ordinal, (bucket, (start, stop)) in enumerate(zip(places, example.clips)):
            within = self.bucket_used[bucket]
            clip = int(self.bucket_start[bucket]) + within
            self.bucket_used[bucket] += 1
            self.batch.clips[bucket][self.row, within, : stop - start] = motion[start:stop]
            self.batch.clip_frames[self.row, clip] = stop - start
            self.batch.clip_seeds[self.row, clip] = example.number * SEEDS_PER_SAMPLE + ordinal
            numbers.append(clip)
        return numbers

    def _slots(self, example: Example, segment: int, clips: list[int]) -> None:
        for name, slots in example.streams.items():
            if not len(slots.ids):
                continue
            here = slice(self.used[name], self.used[name] + len(slots.ids))
            stream = self.batch.streams[name]
            stream.ids[self.row, here] = slots.ids
            stream.positions[self.row, here] = slots.positions
            stream.segments[self.row, here] = segment
            stream.attended[self.row, here] = slots.attended
            if name == "text" and example.targets is not None:
                self.batch.targets[self.row, here] = example.targets
                self.batch.weights[self.row, here] = example.weights
            if name == "motion" and example.inputs is not None and len(slots.ids):
                chosen = example.inputs[:, 0] >= 0
                self.batch.inputs[self.row, here] = example.inputs
                if chosen.any():
                    rows = np.flatnonzero(chosen) + here.start
                    self.batch.inputs[self.row, rows, 0] = np.asarray(clips)[example.inputs[chosen, 0]]
            self.used[name] = here.stop

    def _outputs(self, example: Example, first_slot: int, clips: list[int]) -> None:
        for ordinal, (slots, clip) in enumerate(example.outputs):
            self.batch.outputs[self.row, self.outputs] = np.asarray(slots) + first_slot
            self.batch.output_clip[self.row, self.outputs] = clips[clip] if clip >= 0 else -1
            self.batch.output_seeds[self.row, self.outputs] = example.number * SEEDS_PER_SAMPLE + ordinal
            self.outputs += 1


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
