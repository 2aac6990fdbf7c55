"""Samples of two people laid out for a decoder alone; those of one person as `TextLayout` does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from motiongpt3_jax.batch import ClipRange, Sample, SampleTable, Sizes
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.pairs import inverse_place
from motiongpt3_jax.motion.place_codes import encode_places
from motiongpt3_jax.systems.motion_codes.drafts import Draft, draws_of
from motiongpt3_jax.systems.motion_codes.layout import TextLayout
from motiongpt3_jax.systems.motion_codes.pair_sequences import CODES_PER_ANCHOR, PairSequences
from motiongpt3_jax.systems.motion_codes.pieces import Part, Piece, encoded, known, split_at_motions
from motiongpt3_jax.systems.motion_codes.tokens import FRAMES_PER_CODE, codes_of
from motiongpt3_jax.text import ALL_TASKS, fill
from motiongpt3_jax.text.exchange_persons import exchange_caption
from motiongpt3_jax.text.tasks import Task

PLACE = "place"
"""The number of a clip that says where its second person is, in the first frame and then once a second."""

FRAMES_PER_ANCHOR = CODES_PER_ANCHOR * FRAMES_PER_CODE
"""Frames from one place to the next."""


@dataclass(frozen=True)
class PairTextLayout(TextLayout):
    """Lays samples of two people out: question, line break and answer are one text.

    In half of the visits the two change their order, in the sentence too.

    Attributes:
      sequences: how two people are written.
    """

    sequences: PairSequences | None = None

    def sizes(self, table: SampleTable) -> Sizes:
        """What samples take of a row; those of two people have to be laid out to be measured."""
        sizes = super().sizes(table)
        alone = np.array([ALL_TASKS[self._subtask(name).task].persons == 1 for name in table.source.subtasks])
        return replace(sizes, known=sizes.known & alone[table.subtasks])

    def _pair(self, sample: Sample) -> Draft:
        subtask = self._subtask(sample.subtask)
        task = ALL_TASKS[subtask.task]
        if task.persons == 1:
            return super()._pair(sample)
        if sample.persons != 2 or PLACE not in sample.numbers:
            raise UserError(
                f"sample {sample.number} shows one person, and the sub-task {sample.subtask!r} is about two; set "
                "config.data.source to a source of two people, such as procedural_pairs or interhuman"
            )
        exchanged = draws_of(sample).random() < 0.5
        caption = exchange_caption(sample.caption) if exchanged else sample.caption
        places = np.reshape(sample.numbers[PLACE], (-1, 3))[: -(-sample.frames // FRAMES_PER_ANCHOR)]
        places = encode_places(inverse_place(places) if exchanged else places)
        codes, clips = self._persons(sample, (1, 0) if exchanged else (0, 1))
        motions = pair_motions(self.sequences, task, codes, places)

        def side(number: int, lines: Sequence[str]) -> list[Part]:
            template = lines[int(sample.picks[number] * len(lines))]
            return fill_pair_parts(template, caption, sample.frames, self.fps, sample.coins[number], motions[number])

        return Draft(side(0, subtask.inputs), side(1, subtask.outputs), clips)

    def _persons(self, sample: Sample, order: tuple[int, int]) -> tuple[list[Piece], tuple[ClipRange, ...]]:
        """The codes of both in an order, and what is to be encoded for them."""
        ranges = [ClipRange(0, sample.frames, person) for person in order]
        clips = [piece for piece in ranges if piece not in sample.codes]
        codes = [
            encoded(self.tokens, clips.index(piece), codes_of(piece.frames))
            if piece in clips
            else known(self.tokens, sample.codes[piece])
            for piece in ranges
        ]
        return codes, tuple(clips)


def pair_motions(
    sequences: PairSequences, task: Task, codes: Sequence[Piece], places: Int[np.ndarray, "times 3"]
) -> tuple[list[Piece], list[Piece]]:
    """What stands for the motions of a task's question, and of its answer."""
    if task.role == "react":
        return [sequences.person(codes[0])], [sequences.second(codes[1], places)]
    both = [sequences.pair(*codes, places)]
    return (both, []) if task.input_spans else ([], both)


def fill_pair_parts(
    template: str, caption: str, frames: int, fps: float, coin: float, motions: Sequence[Piece]
) -> list[Part]:
    """A template with its placeholders filled in: words, and ids of people."""
    left = iter(motions)
    return [
        next(left) if number % 2 else (fill(part, caption, frames, coin, {}, fps) if part else "")
        for number, part in enumerate(split_at_motions(template))
    ]
