"""Packed prefill: short questions share rows, so that few slots of a batch are padding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from motiongpt3_jax.batch import Batch, Example, Places, RowShape, Schema
from motiongpt3_jax.data_pipelines.packing import first_fit, needs_of, sizes_of
from motiongpt3_jax.inference.shapes import pad_to_rows, round_up, slot_count

LEAST_SLOTS = 128
"""Slots of a row of the longest stream at least."""

WORTH = 0.9
"""Questions share rows where that takes at most this share of the slots that they take with a row each."""


@dataclass(frozen=True)
class PackedQuestions:
    """Which questions share a row.

    Attributes:
      rows: places of each row's questions in the batch's order; the last rows may be empty.
      slots: of each stream in a row.
      samples: questions of a row at most.
    """

    rows: Sequence[Sequence[int]]
    slots: Mapping[str, int]
    samples: int


def pack_questions(examples: Sequence[Example], rows: int, schema: Schema) -> PackedQuestions | None:
    """Packs questions by their longest stream, first fit decreasing; None where that saves little.

    Args:
      examples: the questions, of the same streams and without clips.
      rows: how many they take with a row each.
      schema: the arrays that they fill.
    """
    lengths = {name: [len(example.streams[name].ids) for example in examples] for name in examples[0].streams}
    if not lengths:
        return None
    longest = max(lengths, key=lambda name: sum(lengths[name]))
    capacity = max(slot_count(max(lengths[longest])), LEAST_SLOTS)
    shape = RowShape(slots=((longest, capacity),), clips=(), samples=len(examples))
    order = sorted(range(len(examples)), key=lambda i: -lengths[longest][i])
    needs = needs_of(sizes_of([examples[i] for i in order], shape, schema), shape)
    packed = [sorted(order[n] for n in row) for row in first_fit(needs, shape, window=len(order))]
    slots = {name: slot_count(max(sum(counts[i] for i in row) for row in packed)) for name, counts in lengths.items()}
    count = _row_count(len(packed))
    apart = rows * sum(slot_count(max(counts)) for counts in lengths.values())
    if count * sum(slots.values()) > WORTH * apart:
        return None
    samples = slot_count(max(map(len, packed)))
    return PackedQuestions([*packed, *[[]] * (count - len(packed))], slots, samples)


def one_a_row(examples: Sequence[Example], rows: int) -> PackedQuestions:
    """A row for each question; rows beyond them repeat the first."""
    slots = {name: slot_count(max(len(e.streams[name].ids) for e in examples)) for name in examples[0].streams}
    return PackedQuestions([[i] for i in pad_to_rows(range(len(examples)), rows).tolist()], slots, 1)


def _row_count(count: int) -> int:
    """Rows of a packed batch: every number up to 8, then steps of an eighth or less."""
    return round_up(count, max(1, 2 ** (count.bit_length() - 4)))


def places_of(packed: PackedQuestions, examples: Sequence[Example], batch: Batch, rows: int) -> Places:
    """Where each question lies in the batch, with as many `rows` as they take apart; rows beyond repeat the first."""
    slots = {}
    for name, stream in batch.streams.items():
        width = slot_count(max(len(example.streams[name].ids) for example in examples))
        slots[name] = np.full((rows, width), -1, np.int32)
        for row, questions in enumerate(packed.rows):
            for segment, question in enumerate(questions, start=1):
                there = np.flatnonzero(stream.segments[row] == segment)
                slots[name][question, : len(there)] = row * stream.segments.shape[1] + there
        slots[name][len(examples) :] = slots[name][0]
    samples = {
        question: row * packed.samples + place
        for row, questions in enumerate(packed.rows)
        for place, question in enumerate(questions)
    }
    return Places(slots, pad_to_rows([samples[i] for i in range(len(examples))], rows))
