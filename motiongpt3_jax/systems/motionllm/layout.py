"""A captioned clip as the published code shows it to the language model: one instruction and its answer a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from motiongpt3_jax.batch import ClipRange, Example, Sample, Slots
from motiongpt3_jax.systems.motion_codes.drafts import Draft
from motiongpt3_jax.systems.motion_codes.layout import TextLayout, next_tokens
from motiongpt3_jax.systems.motion_codes.pieces import Piece, encoded, join, known
from motiongpt3_jax.systems.motion_codes.prompts import Filling, fill_parts, official_cuts
from motiongpt3_jax.systems.motion_codes.tokens import FRAMES_PER_CODE, codes_of
from motiongpt3_jax.systems.motionllm.tokens import PADDING, with_motion_tokens
from motiongpt3_jax.text import TASKS
from motiongpt3_jax.text.word_tokens import WordTokens


@dataclass(frozen=True)
class OfficialLayout(TextLayout):
    """Lays samples out as the published code does.

    Question and answer are tokenized apart, with nothing between them; text that reads as a motion's token is one, and
    padding in it is not attended. A motion that is to be made has begun already: the answer is its codes, its end and
    the end of the text. What is too long loses its end, or all of the answer. Clips lose frames beyond a multiple of
    four.
    """

    @cached_property
    def words(self) -> WordTokens:
        """The tokenizer, which reads ids of motions in texts too."""
        return WordTokens(with_motion_tokens(self.tokenizer, self.tokens))

    def __call__(self, samples: Sequence[Sample]) -> list[Example]:
        """One example per sample, each independent of the others."""
        drafts = [self.draft(sample) for sample in samples]
        pieces = self.encode([side for draft in drafts for side in (draft.question, draft.answer or [])])
        return [
            Example(sample.number, {"tokens": self._instruction(question, answer)}, draft.clips)
            for sample, draft, question, answer in zip(samples, drafts, pieces[::2], pieces[1::2])
        ]

    def draft(self, sample: Sample) -> Draft:
        """A sample as question and answer; captions are never quoted."""
        subtask = self._subtask(sample.subtask)
        codes, clips = self._whole(sample)
        inputs, outputs, masks = official_cuts(codes, TASKS[subtask.task], len(codes) * FRAMES_PER_CODE)

        def side(lines: Sequence[str], pick: float, motions: Sequence[Piece]) -> list[str | Piece]:
            filling = Filling(sample.caption, sample.frames, self.fps, motions=motions, masks=masks)
            return fill_parts(lines[int(pick * len(lines))], filling, self.tokens, official=True)

        question = side(subtask.inputs, sample.picks[0], inputs)
        return Draft(question, side(subtask.outputs, sample.picks[1], outputs), clips)

    def _whole(self, sample: Sample) -> tuple[Piece, tuple[ClipRange, ...]]:
        piece = ClipRange(0, sample.frames - sample.frames % FRAMES_PER_CODE)
        if piece in sample.codes:
            return known(self.tokens, sample.codes[piece]), ()
        return encoded(self.tokens, 0, codes_of(piece.frames)), (piece,)

    def _instruction(self, question: Piece, answer: Piece) -> Slots:
        piece = join(self.begin, question, answer, self.end)
        begun = len(answer) > 0 and answer.ids[0] == self.tokens.start_of_motion
        predicted = np.arange(len(piece)) >= len(self.begin) + len(question) + begun
        kept = slice(0, self.options.max_length)
        attended = piece.ids != self.tokenizer.backend.token_to_id(PADDING)
        return next_tokens(piece.cut(kept), predicted[kept], attended=attended[kept])
