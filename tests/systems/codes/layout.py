"""A captioned clip as one sequence: question, turn, answer, end; a motion is its codes between two marks.

The layout never sees features: a code's slot says by its `source` which chunk of which clip fills it, and the losses
take the codes from there, as what is read and as what is predicted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from motiongpt3_jax.batch import ClipRange, Example, Sample, Schema, Slots
from motiongpt3_jax.text import Subtask, Task, fill
from motiongpt3_jax.text.subtasks import PLACEHOLDER
from tests.systems.codes.alphabet import BEGIN, HALT, TURN, Alphabet
from tests.systems.codes.quantiser import chunks_of

SCHEMA = Schema(targets=("tokens",), sources=("tokens",))

Piece = tuple[list[int], list[tuple[int, int]]]
"""Ids and sources of some slots."""


@dataclass(frozen=True)
class Composer:
    """Texts with motions in them as slots.

    Attributes:
      alphabet: the ids.
      chunk: frames of a code.
    """

    alphabet: Alphabet
    chunk: int

    def words(self, text: str) -> Piece:
        """A text."""
        ids = self.alphabet.encode(text)
        return ids, [(-1, 0)] * len(ids)

    def mark(self, token: str) -> Piece:
        """A mark."""
        return [self.alphabet.mark(token)], [(-1, 0)]

    def motion(self, clip: int, frames: int) -> Piece:
        """A motion between its marks."""
        codes = chunks_of(frames, self.chunk)
        inside = [self.alphabet.first_code] * codes, [(clip, number) for number in range(codes)]
        return join(self.mark(BEGIN), inside, self.mark(HALT))

    def text_with_motions(self, text: str, frames: Sequence[int], first: int = 0) -> Piece:
        """A filled template, with each motion where its placeholder stands."""
        texts = [part.strip() for part in PLACEHOLDER.split(text)]
        pieces = [self.words(texts[0])]
        for number, (count, rest) in enumerate(zip(frames, texts[1:], strict=True), start=first):
            pieces += [self.motion(number, count), self.words(rest)]
        return join(*pieces)


def join(*pieces: Piece) -> Piece:
    """Slots one behind the other."""
    return [i for ids, _ in pieces for i in ids], [source for _, sources in pieces for source in sources]


def slots_of(piece: Piece, targets_from: int | None = None) -> Slots:
    """The slots of a whole sequence; what stands at `targets_from` or behind it is predicted."""
    ids, sources = piece
    count = len(ids)
    positions = np.arange(count, dtype=np.int32)
    slots = {
        "ids": np.array(ids, np.int32),
        "positions": positions,
        "attended": np.ones(count, bool),
        "sources": np.array(sources, np.int32).reshape(-1, 2),
    }
    if targets_from is None:
        return Slots(**slots)
    weights = ((positions + 1 >= targets_from) & (positions + 1 < count)).astype(np.float32)
    return Slots(**slots, targets=np.array([*ids[1:], 0], np.int32), weights=weights)


@dataclass(frozen=True)
class DanceLayout:
    """The motion alone."""

    composer: Composer

    @property
    def schema(self) -> Schema:
        """The arrays that it fills."""
        return SCHEMA

    def __call__(self, samples: Sequence[Sample]) -> list[Example]:
        """One example per sample."""
        return [
            Example(
                sample.number,
                {"tokens": slots_of(self.composer.motion(0, sample.frames), targets_from=1)},
                (ClipRange(0, sample.frames),),
            )
            for sample in samples
        ]


@dataclass(frozen=True)
class ScriptLayout:
    """Question and answer."""

    composer: Composer
    subtasks: Mapping[str, Subtask]
    tasks: Mapping[str, Task]
    fps: float

    @property
    def schema(self) -> Schema:
        """The arrays that it fills."""
        return SCHEMA

    def __call__(self, samples: Sequence[Sample]) -> list[Example]:
        """One example per sample."""
        return [self._example(sample) for sample in samples]

    def _example(self, sample: Sample) -> Example:
        subtask = self.subtasks[sample.subtask]
        task = self.tasks[subtask.task]
        ranges = [ClipRange(*piece) for piece in task.ranges(sample.frames)]
        inputs = len(task.input_spans)
        texts = [
            fill(lines[int(pick * len(lines))], sample.caption, sample.frames, coin, fps=self.fps)
            for lines, pick, coin in zip((subtask.inputs, subtask.outputs), sample.picks, sample.coins)
        ]
        frames = [piece.frames for piece in ranges]
        question = self.composer.text_with_motions(texts[0], frames[:inputs])
        answer = self.composer.text_with_motions(texts[1], frames[inputs:], inputs)
        end = [self.composer.alphabet.end], [(-1, 0)]
        whole = join(question, self.composer.mark(TURN), answer, end)
        slots = slots_of(whole, targets_from=len(question[0]) + 1)
        return Example(sample.number, {"tokens": slots}, tuple(ranges))
