"""Samples as questions and answers of words and motions, before it is decided which model reads them.

A motion is its start, its codes and its end. A code's slot says by its source which code of which encoded clip fills
it; codes that the sample brings along are ids already. Both ways fill the same ids.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from motiongpt3_jax.batch import ClipRange, Sample, SampleSource
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.motion_codes.layout_sizes import PromptSizes
from motiongpt3_jax.systems.motion_codes.pieces import Part, Piece, encode_parts, encoded, known, motion, plain, single
from motiongpt3_jax.systems.motion_codes.prompts import Filling, fill_parts, hidden_codes, official_cuts
from motiongpt3_jax.systems.motion_codes.tokens import FRAMES_PER_CODE, MotionTokens, codes_of
from motiongpt3_jax.text import ALL_TASKS, Subtask, Task, Tokenizer
from motiongpt3_jax.text.word_tokens import WordTokens
from motiongpt3_jax.values import FLAG, real, setting, whole


@dataclass(frozen=True)
class LayoutOptions:
    """How sequences are laid out.

    Attributes:
      max_length: longest question and longest answer of a T5, longest sequence of a decoder alone; longer ones lose
        words of their longest stretch of text (official: 256, cut at the end).
      official: whether the official code's choices are reproduced. MotionGPT's: lengths are told in codes instead of
        frames, pieces are cut from the codes of the whole clip (which have seen what they are to predict), frames
        beyond a multiple of four are dropped, a third of the clips loses its first or last code, spaces before motions
        are tokens, and a decoder alone is trained on questions and padding too.
    """

    max_length: int = setting(whole(8, 10**6))
    official: bool = setting(FLAG)


@dataclass(frozen=True)
class UnpairedOptions:
    """Samples without a question: words alone, or motion alone.

    Attributes:
      text: share of the samples that are words alone.
      motion: share of those that are motion alone.
      density: share of their ids that span corruption hides; a decoder alone predicts all of them instead.
      span: mean length of a hidden span.
    """

    text: float = setting(real(0, 1))
    motion: float = setting(real(0, 1))
    density: float = setting(real(0, 1, above=True, below=True))
    span: float = setting(real(1, 1000))


@dataclass(frozen=True)
class Draft:
    """A sample before its words are tokenized.

    Attributes:
      question: words and motions of the question; of all there is, where there is no question.
      answer: those of the answer; None where there is no question.
      clips: what is to be encoded.
    """

    question: list[Part]
    answer: list[Part] | None
    clips: tuple[ClipRange, ...]


def draws_of(sample: Sample) -> np.random.Generator:
    """Further draws of a sample."""
    return np.random.Generator(np.random.Philox(key=int(sample.draw * 2**53)))


class Motions(NamedTuple):
    """The motions of a sample and a task.

    Attributes:
      inputs, outputs: codes of each motion in the question, and in the answer.
      masks: codes that are hidden between two given motions.
      length: of the clip, as texts tell it.
      clips: what is to be encoded.
    """

    inputs: list[Piece]
    outputs: list[Piece]
    masks: int
    length: int
    clips: tuple[ClipRange, ...]


@dataclass(frozen=True)
class Drafts:
    """From samples to words and motions, whichever model reads them.

    Attributes:
      tokenizer: of the words.
      tokens: ids of motions.
      subtasks: templates of every sub-task, by name.
      options: how sequences are laid out.
      fps: frames in a second of the clips.
      unpaired: which samples have no question; None for none.
    """

    tokenizer: Tokenizer
    tokens: MotionTokens
    subtasks: Mapping[str, Subtask]
    options: LayoutOptions
    fps: float = 20.0
    unpaired: UnpairedOptions | None = None

    @cached_property
    def words(self) -> WordTokens:
        """The tokenizer, which remembers words."""
        return WordTokens(self.tokenizer)

    @cached_property
    def _prompt_sizes(self) -> dict[SampleSource, PromptSizes]:
        return {}

    def prompt_sizes(self, source: SampleSource, around: tuple[tuple[str, str], tuple[str, str]]) -> PromptSizes:
        """Counts the tokens of samples of a source, see `PromptSizes`."""
        if source not in self._prompt_sizes:
            subtasks = {name: self._subtask(name) for name in source.subtasks}
            unpaired = self.unpaired or UnpairedOptions(0.0, 0.0, 0.5, 1.0)
            shares = unpaired.text, unpaired.text + unpaired.motion
            self._prompt_sizes[source] = PromptSizes(
                self.words, self.tokens, subtasks, source, self.fps, around, shares
            )
        return self._prompt_sizes[source]

    def draft(self, sample: Sample) -> Draft:
        """A sample as question and answer, or as words or motion alone."""
        if self.unpaired is not None:
            text, either = self.unpaired.text, self.unpaired.text + self.unpaired.motion
            if sample.draw < text and sample.caption.strip():
                return Draft([sample.caption], None, ())
            if text <= sample.draw < either:
                whole_clip, clips = self._whole(sample)
                return Draft([motion(self.tokens, whole_clip)], None, clips)
        return self._pair(sample)

    def _pair(self, sample: Sample) -> Draft:
        subtask = self._subtask(sample.subtask)
        task = ALL_TASKS[subtask.task]
        pieces = self._official_pieces if self.options.official else self._pieces
        motions = pieces(sample, task)

        def side(number: int, lines: Sequence[str], codes: Sequence[Piece]) -> list[Part]:
            coin = sample.coins[number]
            filling = Filling(sample.caption, motions.length, self.fps, coin, codes, motions.masks)
            template = lines[int(sample.picks[number] * len(lines))]
            return fill_parts(template, filling, self.tokens, self.options.official)

        question, answer = side(0, subtask.inputs, motions.inputs), side(1, subtask.outputs, motions.outputs)
        return Draft(question, answer, motions.clips)

    def _subtask(self, name: str) -> Subtask:
        if name not in self.subtasks:
            raise UserError(f"no templates for the sub-task {name!r}; there are: {', '.join(sorted(self.subtasks))}")
        return self.subtasks[name]

    def _pieces(self, sample: Sample, task: Task) -> Motions:
        """The motions of a task, each encoded by itself: what is given has seen nothing of what is to be made."""
        ranges = [ClipRange(*frames) for frames in task.ranges(sample.frames)]
        clips = [piece for piece in ranges if piece.frames and piece not in sample.codes]
        motions = [
            encoded(self.tokens, clips.index(piece), codes_of(piece.frames))
            if piece in clips
            else known(self.tokens, sample.codes.get(piece, ()))
            for piece in ranges
        ]
        inputs = len(task.input_spans)
        masks = hidden_codes(sample.frames, ranges[0].frames, ranges[1].frames) if inputs > 1 else 0
        return Motions(motions[:inputs], motions[inputs:], masks, sample.frames, tuple(clips))

    def _official_pieces(self, sample: Sample, task: Task) -> Motions:
        """The motions of a task, cut from the codes of the whole clip."""
        codes, clips = self._whole(sample)
        inputs, outputs, masks = official_cuts(codes, task, len(codes))
        return Motions(inputs, outputs, masks, len(codes), clips if inputs or outputs else ())

    def _whole(self, sample: Sample) -> tuple[Piece, tuple[ClipRange, ...]]:
        """The codes of the whole clip; officially one at its beginning or end is missing in a third of the cases."""
        frames = sample.frames
        if self.options.official:
            frames -= frames % FRAMES_PER_CODE
        piece = ClipRange(0, frames)
        if piece in sample.codes:
            codes, clips = known(self.tokens, sample.codes[piece]), ()
        else:
            codes, clips = encoded(self.tokens, 0, codes_of(frames)), (piece,)
        if self.options.official:
            cut = draws_of(sample).random()
            codes = codes.cut(slice(int(cut < 1 / 6), len(codes) - int(1 / 6 <= cut < 1 / 3)))
        return codes, clips

    def kept(self, piece: Piece, most: int, number: int) -> Bool[np.ndarray, "slots"]:
        """What stays of a sequence that is to have so many ids at most.

        Officially that is its beginning and its last id, else everything but words of its longest stretch of text.

        Raises:
          UserError: its motions alone are longer.
        """
        count = len(piece)
        kept, excess = np.ones(count, bool), count - most
        if excess <= 0:
            return kept
        if self.options.official:
            kept[most - 1 : -1] = False
            return kept
        words = (piece.sources[:, 0] < 0) & np.array([self.tokens.is_word(i) for i in piece.ids.tolist()])
        edges = np.flatnonzero(np.concatenate([[True], ~words, [True]]))
        longest = int(np.argmax(np.diff(edges)))
        start, stop = edges[longest], edges[longest + 1] - 1
        if stop - start < excess:
            raise UserError(
                f"sample {number} takes {count} tokens, {int((~words).sum())} of which stand for motion; this layout "
                f"has room for {most}: raise its max_length, or lower data.max_frames"
            )
        kept[stop - excess : stop] = False
        return kept

    def shortened(self, piece: Piece, most: int, number: int) -> Piece:
        """A sequence with so many ids at most, see `kept`."""
        return piece.cut(self.kept(piece, most, number)) if len(piece) > most else piece

    def encode(self, parts: Sequence[Sequence[Part]]) -> list[Piece]:
        """The ids of texts with motions."""
        return encode_parts(self.words, parts, trim=not self.options.official)

    @property
    def begin(self) -> Piece:
        """Begins a sequence; nothing where none begins so."""
        return plain(()) if self.tokens.begin is None else single(self.tokens.begin)

    @property
    def end(self) -> Piece:
        """Ends a sequence."""
        return single(self.tokens.end)


def encoded_ranges(tasks: Iterable[Task], frames: int, official: bool) -> list[ClipRange]:
    """The pieces of a clip whose codes samples of some tasks, and samples of motion alone, hold: what a cache is of."""
    if official:
        return [ClipRange(0, frames - frames % FRAMES_PER_CODE)]
    ranges = {ClipRange(0, frames), *(ClipRange(*piece) for task in tasks for piece in task.ranges(frames))}
    if any(task.persons > 1 for task in tasks):
        ranges.add(ClipRange(0, frames, 1))
    return sorted(piece for piece in ranges if piece.frames)
