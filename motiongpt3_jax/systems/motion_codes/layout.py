"""A captioned clip as question and answer: two streams for a T5, one for a decoder alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from motiongpt3_jax.batch import ClipRange, Example, Sample, SampleTable, Schema, Sizes, Slots
from motiongpt3_jax.systems.motion_codes.drafts import Draft, Drafts, draws_of
from motiongpt3_jax.systems.motion_codes.layout_sizes import Counted, count_sizes
from motiongpt3_jax.systems.motion_codes.pieces import Part, Piece, join, plain, single, slots_of
from motiongpt3_jax.systems.motion_codes.span_corruption import corrupt, count_spans, random_spans
from motiongpt3_jax.systems.motion_codes.tokens import DECODER_START

PAIR_SCHEMA = Schema(targets=("target",), sources=("source", "target"))
"""The arrays of a T5: what the encoder reads and what the decoder writes; codes of clips stand in both."""

TEXT_SCHEMA = Schema(targets=("tokens",), sources=("tokens",))
"""The arrays of a decoder alone."""

BREAK = " \n"
"""Stands between question and answer where both are one text; a space follows it."""


@dataclass(frozen=True)
class TokenizerLayout:
    """The layout of the stage that trains the tokenizer of motion: a part of the clip of each person, and no text.

    Attributes:
      window: frames of a random part of each clip; shorter clips enter whole. None for the whole of every clip.
    """

    window: int | None = None

    @property
    def schema(self) -> Schema:
        """No arrays of its own."""
        return Schema()

    def sizes(self, table: SampleTable) -> Sizes:
        """One clip a person."""
        frames, persons = np.minimum(table.frames, self.window or table.frames), table.persons
        there = np.arange(persons.max(initial=1)) < persons[:, None]
        return Sizes({}, np.where(there, frames[:, None], -1), {}, np.ones(len(table), bool))

    def __call__(self, samples: Sequence[Sample]) -> list[Example]:
        """One clip a person."""
        return [Example(number=sample.number, clips=self._parts(sample)) for sample in samples]

    def _parts(self, sample: Sample) -> tuple[ClipRange, ...]:
        frames = min(sample.frames, self.window or sample.frames)
        start = int(sample.draw * (sample.frames - frames + 1))
        return tuple(ClipRange(start, start + frames, person) for person in range(sample.persons))


@dataclass(frozen=True)
class PairLayout(Drafts):
    """Lays samples out for a T5: question to the encoder, answer to the decoder.

    A sample without a question goes through span corruption: what is left of it to the encoder, the spans to the
    decoder.
    """

    @property
    def schema(self) -> Schema:
        """The arrays that it fills."""
        return PAIR_SCHEMA

    def sizes(self, table: SampleTable) -> Sizes:
        """What samples take of a row."""
        longest = 0 if self.options.official else self.options.max_length
        return count_sizes(self.prompt_sizes(table.source, (("", ""), ("", ""))), table, longest, self._slots)

    def _slots(
        self, pairs: Counted, alone: Int[np.ndarray, "samples"], which: Bool[np.ndarray, "samples"]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        hidden, spans = self._corruption(alone)
        source = np.where(which, alone - hidden + spans, pairs.question) + 1
        target = np.where(which, hidden + spans, pairs.answer) + 1
        return {"source": source, "target": target}, np.where(which, alone + 1, np.maximum(source, target))

    def _corruption(self, lengths: Int[np.ndarray, "samples"]) -> tuple[np.ndarray, np.ndarray]:
        if self.unpaired is None:
            return np.zeros_like(lengths), np.zeros_like(lengths)
        used, inverse = np.unique(lengths, return_inverse=True)
        counts = [count_spans(length, self.unpaired.density, self.unpaired.span) for length in used.tolist()]
        hidden, spans = np.array(counts).reshape(-1, 2)[inverse].T
        return hidden, spans

    def __call__(self, samples: Sequence[Sample]) -> list[Example]:
        """One example per sample, each independent of the others."""
        drafts = [self.draft(sample) for sample in samples]
        pieces = self.encode([side for draft in drafts for side in self._sides(draft)])
        examples = []
        for sample, draft, source, target in zip(samples, drafts, pieces[::2], pieces[1::2]):
            if draft.answer is None:
                source, target = self._corrupted(source, sample)
            else:
                source, target = (
                    self.shortened(side, self.options.max_length, sample.number) for side in (source, target)
                )
            streams = {"source": slots_of(source), "target": target_slots(target)}
            examples.append(Example(sample.number, streams, draft.clips))
        return examples

    def _sides(self, draft: Draft) -> tuple[list[Part], list[Part]]:
        if draft.answer is None:
            return draft.question, []
        return [*draft.question, self.end], [*draft.answer, self.end]

    def _corrupted(self, piece: Piece, sample: Sample) -> tuple[Piece, Piece]:
        """Both have as many ids as the whole and an end, at most."""
        assert self.unpaired is not None
        piece = self.shortened(piece, self.options.max_length - 1, sample.number)
        hidden = random_spans(draws_of(sample), len(piece), self.unpaired.density, self.unpaired.span)
        source, target = corrupt(piece, hidden, self.tokens.sentinels)
        return join(source, self.end), join(target, self.end)


def target_slots(target: Piece) -> Slots:
    """What a T5's decoder reads, its start and then the target but for the end, and what it predicts, the target."""
    read = join(single(DECODER_START), target.cut(slice(0, -1)))
    return slots_of(read, targets=target.ids, weights=np.ones(len(target), np.float32))


@dataclass(frozen=True)
class TextLayout(Drafts):
    """Lays samples out for a decoder alone: question, line break and answer are one text.

    Only the answer is predicted, or all of a text that has no question; officially everything, and padding too.
    """

    @property
    def schema(self) -> Schema:
        """The arrays that it fills."""
        return TEXT_SCHEMA

    def sizes(self, table: SampleTable) -> Sizes:
        """What samples take of a row."""
        longest = 0 if self.options.official else self.options.max_length
        return count_sizes(self.prompt_sizes(table.source, (("", BREAK), (" ", ""))), table, longest, self._slots)

    def _slots(
        self, pairs: Counted, alone: Int[np.ndarray, "samples"], which: Bool[np.ndarray, "samples"]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        count = len(self.begin) + np.where(which, alone, pairs.question + pairs.answer) + 1
        return {"tokens": count}, count

    def __call__(self, samples: Sequence[Sample]) -> list[Example]:
        """One example per sample, each independent of the others."""
        drafts = [self.draft(sample) for sample in samples]
        pieces = self.encode([side for draft in drafts for side in _sides(draft)])
        lay_out = self._padded if self.options.official else self._sequence
        return [
            Example(sample.number, {"tokens": lay_out(sample, draft, question, answer)}, draft.clips)
            for sample, draft, question, answer in zip(samples, drafts, pieces[::2], pieces[1::2])
        ]

    def _sequence(self, sample: Sample, draft: Draft, question: Piece, answer: Piece) -> Slots:
        piece = join(self.begin, question, answer, self.end)
        predicted = np.arange(len(piece)) >= len(self.begin) + len(question)
        kept = self.kept(piece, self.options.max_length, sample.number)
        return next_tokens(piece.cut(kept), predicted[kept])

    def _padded(self, sample: Sample, draft: Draft, question: Piece, answer: Piece) -> Slots:
        piece = join(question, answer) if draft.answer is None else join(question, answer, self.end)
        piece = piece.cut(slice(0, self.options.max_length))
        padding = plain((self.tokens.end,) * (self.options.max_length - len(piece)))
        attended = np.arange(self.options.max_length) < len(piece)
        return next_tokens(join(piece, padding), np.ones(self.options.max_length, bool), attended=attended)


def _sides(draft: Draft) -> tuple[list[Part], list[Part]]:
    """What comes before the first id that is predicted, and what follows: the space belongs to the answer's words."""
    return ([], draft.question) if draft.answer is None else ([*draft.question, BREAK], [" ", *draft.answer])


def next_tokens(piece: Piece, predicted: np.ndarray, **others: np.ndarray) -> Slots:
    """A sequence in which each slot predicts the next; `predicted` are the ids that count."""
    weights = np.append(predicted[1:], False).astype(np.float32)
    return slots_of(piece, targets=np.append(piece.ids[1:], 0).astype(np.int32), weights=weights, **others)
