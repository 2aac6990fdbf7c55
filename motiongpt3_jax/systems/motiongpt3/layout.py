"""A captioned clip as MotionGPT3's sequence: text slots, motion slots, clips to encode, targets.

The sequence is `input + " \\n " + output + end`, where a motion is `<start_of_motion>`, four holders,
`<end_of_motion>`. Holders and masks are motion slots; everything else, the two markers included, is text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from motiongpt3_jax.batch import (
    ClipRange,
    Example,
    Field,
    Sample,
    SampleSource,
    SampleTable,
    Schema,
    Sizes,
)
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.motiongpt3.layout_sizes import SequenceSizes
from motiongpt3_jax.systems.motiongpt3.prompts import HOLDERS, TokenIds, compose, fill_input, fill_output
from motiongpt3_jax.systems.motiongpt3.sequences import TokenSequence, sequence_examples
from motiongpt3_jax.text import TASKS, Subtask, Tokenizer
from motiongpt3_jax.text.word_tokens import WordTokens
from motiongpt3_jax.values import FLAG, setting, whole


def schema(holders: int = HOLDERS) -> Schema:
    """MotionGPT3's own arrays.

    For each clip to be generated the motion slots, so many, whose hidden states are its condition, the clip that is its
    target (-1: none) and the seed of its draws; and the number of targets behind a motion slot, which no text slot can
    predict.
    """
    return Schema(
        targets=("text",),
        sources=("motion",),
        fields=(
            Field("outputs", "outputs", (holders,), counts="motion"),
            Field("output_clip", "outputs", empty=-1, counts="clips"),
            Field("output_seeds", "outputs", dtype="uint32"),
            Field("unpredictable"),
        ),
    )


SCHEMA = schema()
"""As published."""


@dataclass(frozen=True)
class LayoutOptions:
    """How sequences are laid out; each deviation from the official code has its official value.

    Attributes:
      max_length: longest sequence; longer ones lose words of their longest stretch of text (official: 192, cut at its
        end).
      prompt_loss: whether words of the prompt are targets too (official: True).
      pad_loss: whether the sequence is padded to `max_length` with end tokens that are targets (official: True).
      unpredictable_targets: whether targets that no text slot can predict count, each as ln(vocabulary) (official:
        True).
      interleave: whether the chunks of two input clips alternate (official: True) or follow each other.
      max_position_offset: largest position at which a text-only sequence may start, so that all positions are trained.
    """

    max_length: int = setting(whole(8, 10**6))
    prompt_loss: bool = setting(FLAG)
    pad_loss: bool = setting(FLAG)
    unpredictable_targets: bool = setting(FLAG)
    interleave: bool = setting(FLAG)
    max_position_offset: int = setting(whole(0, 10**6))


@dataclass(frozen=True)
class SequenceLayout:
    """Lays samples out for the language stages.

    Attributes:
      tokenizer: text to ids.
      subtasks: templates of every sub-task, by name.
      options: how sequences are laid out.
      fps: frames in a second of the clips.
      holders: motion slots that stand for one clip.
    """

    tokenizer: Tokenizer
    subtasks: Mapping[str, Subtask]
    options: LayoutOptions
    fps: float = 20.0
    holders: int = HOLDERS

    @property
    def schema(self) -> Schema:
        """The arrays that it fills."""
        return schema(self.holders)

    @cached_property
    def words(self) -> WordTokens:
        """The tokenizer, which remembers words."""
        return WordTokens(self.tokenizer)

    @cached_property
    def _sizes(self) -> dict[SampleSource, SequenceSizes]:
        return {}

    def sizes(self, table: SampleTable) -> Sizes:
        """What samples take of a row."""
        source = table.source
        if source not in self._sizes:
            for name in source.subtasks:
                self._subtask(name)
            longest = 0 if self.options.pad_loss else self.options.max_length
            self._sizes[source] = SequenceSizes(self.words, self.subtasks, source, self.fps, longest, self.holders)
        return self._sizes[source].sizes(table)

    def __call__(self, samples: Sequence[Sample]) -> list[Example]:
        """One example per sample, each independent of the others."""
        return sequence_examples(
            [self._sequence(sample) for sample in samples],
            TokenIds.of(self.tokenizer, self.holders),
            interleave=self.options.interleave,
            unpredictable_targets=self.options.unpredictable_targets,
        )

    def _sequence(self, sample: Sample) -> TokenSequence:
        """A sample as token ids."""
        text, answer = self._prompt(sample)
        encoded, before = self.words.encode_until(text, answer)
        subtask = self._subtask(sample.subtask)
        ids, answers = self._cut(np.array(encoded, np.int32), np.arange(len(encoded)) >= before)
        count = len(ids)
        if self.options.pad_loss:
            ids = np.pad(ids, (0, self.options.max_length - count), constant_values=self.tokenizer.end)
            answers = np.pad(answers, (0, self.options.max_length - count), constant_values=True)
        task = TASKS[subtask.task]
        clips = tuple(ClipRange(*piece) for piece in task.ranges(sample.frames))
        return TokenSequence(
            number=sample.number,
            ids=ids,
            attended=np.arange(len(ids)) < count,
            answers=answers | self.options.prompt_loss,
            clips=clips,
            inputs=len(task.input_spans),
            start=int(sample.picks[0] * (self.options.max_position_offset + 1)) if subtask.task == "text" else 0,
            encoded=tuple(sample.codes[clip] for clip in clips) if sample.codes else (),
        )

    def _subtask(self, name: str) -> Subtask:
        if name not in self.subtasks:
            raise UserError(f"no templates for the sub-task {name!r}; there are: {', '.join(sorted(self.subtasks))}")
        return self.subtasks[name]

    def _prompt(self, sample: Sample) -> tuple[str, int]:
        """The sequence as text, and the character at which the answer begins: the space before its first word."""
        subtask = self._subtask(sample.subtask)
        question = subtask.inputs[int(sample.picks[0] * len(subtask.inputs))]
        answer = subtask.outputs[int(sample.picks[1] * len(subtask.outputs))]
        question = fill_input(question, sample.caption, sample.frames, sample.coins[0], self.fps, self.holders)
        answer = fill_output(answer, sample.caption, sample.frames, sample.coins[1], self.fps, self.holders)
        question = self.tokenizer.begin + question
        return compose(question, answer, self.tokenizer.end_token), len(compose(question, "", end="")) - 1

    def _cut(self, ids: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shortens a sequence to `max_length`: officially at its end, else by words of its longest stretch of text."""
        excess = len(ids) - self.options.max_length
        if excess <= 0:
            return ids, answers
        if self.options.pad_loss:
            return ids[: self.options.max_length], answers[: self.options.max_length]
        special = (ids >= self.tokenizer.base_vocabulary) | (ids == self.tokenizer.end)
        edges = np.flatnonzero(np.concatenate([[True], special, [True]]))
        longest = int(np.argmax(np.diff(edges)))
        stop = edges[longest + 1] - 1
        keep = np.ones(len(ids), bool)
        keep[max(stop - excess, edges[longest]) : stop] = False
        return ids[keep], answers[keep]


@dataclass(frozen=True)
class ClipLayout:
    """The layout of the VAE's stage: the clip alone."""

    @property
    def schema(self) -> Schema:
        """No arrays of its own."""
        return Schema()

    def sizes(self, table: SampleTable) -> Sizes:
        """One clip a sample."""
        return Sizes({}, table.frames[:, None], {}, np.ones(len(table), bool))

    def __call__(self, samples: Sequence[Sample]) -> list[Example]:
        """One clip a sample."""
        return [Example(number=sample.number, clips=(ClipRange(0, sample.frames),)) for sample in samples]
