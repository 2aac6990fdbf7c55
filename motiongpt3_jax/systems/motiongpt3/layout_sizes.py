"""What MotionGPT3's samples take of a row, counted without laying them out; see `SequenceLayout`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from motiongpt3_jax.batch import SampleSource, SampleTable, Sizes
from motiongpt3_jax.systems.motiongpt3.prompts import (
    SEPARATOR,
    START,
    STOP,
    motion_fillings,
    motion_input,
    motion_output,
)
from motiongpt3_jax.text import TASKS, Subtask
from motiongpt3_jax.text.prompt_lengths import CaptionLengths, TemplateLengths
from motiongpt3_jax.text.subtasks import PLACEHOLDER
from motiongpt3_jax.text.tasks import clip_frames
from motiongpt3_jax.text.word_tokens import WordTokens


@dataclass(frozen=True, eq=False)
class Side:
    """The questions, or the answers, of some sub-tasks.

    Attributes:
      firsts, counts: place of the first template of each sub-task, and how many it has.
      lengths: tokens of each template, those of motions included.
      motion: motion slots of each.
    """

    firsts: Int[np.ndarray, "subtasks"]
    counts: Int[np.ndarray, "subtasks"]
    lengths: TemplateLengths
    motion: Int[np.ndarray, "templates"]

    @classmethod
    def of(cls, templates: Sequence[Sequence[str]], words: WordTokens, fps: float) -> "Side":
        """That of the filled-in templates of each sub-task."""
        counts = np.array([len(lines) for lines in templates])
        lines = [line for lines in templates for line in lines]
        tokens = [line.count("<") - line.count("Placeholder>") for line in lines]
        marks = [line.count(START) + line.count(STOP) for line in lines]
        lengths = TemplateLengths(words, fps, [[line] for line in lines])
        return cls(np.cumsum(counts) - counts, counts, lengths, np.array(tokens) - np.array(marks))

    def choose(
        self, subtasks: Int[np.ndarray, "samples"], picks: Int[np.ndarray, "samples"]
    ) -> Int[np.ndarray, "samples"]:
        """The template of each sample."""
        return self.firsts[subtasks] + (picks * self.counts[subtasks]).astype(np.int64)


class SequenceSizes:
    """Counts the slots of samples of one source."""

    def __init__(
        self,
        words: WordTokens,
        subtasks: Mapping[str, Subtask],
        source: SampleSource,
        fps: float,
        max_length: int,
        holders: int,
    ) -> None:
        self.words, self.max_length, self.fps, self.holders = words, max_length, fps, holders
        self.subtasks = [subtasks[name] for name in source.subtasks]
        self.captions = CaptionLengths(words, source.texts)

    @cached_property
    def answers(self) -> Side:
        """Answers with the space before their first word."""
        lines = [
            [self._fill(line, motion_output(self.holders)) for line in subtask.outputs] for subtask in self.subtasks
        ]
        return Side.of([[_lead(line) + line for line in some] for some in lines], self.words, self.fps)

    @cached_property
    def questions(self) -> tuple[Side, Side]:
        """Questions with the separator, without and with its last space: that is a word's, or stands alone."""
        lines = [[self._fill(line, motion_input(self.holders)) for line in subtask.inputs] for subtask in self.subtasks]
        ends = SEPARATOR.rstrip(" "), SEPARATOR
        return tuple(Side.of([[line + end for line in some] for some in lines], self.words, self.fps) for end in ends)

    @cached_property
    def _begins_with_motion(self) -> tuple[np.ndarray, np.ndarray]:
        """Of every answer: whether it begins with a token that is no word, and whether with a space."""
        lines = [self._fill(line, motion_output(self.holders)) for subtask in self.subtasks for line in subtask.outputs]
        return np.array([not _lead(line) for line in lines]), np.array([line.startswith((" ", "\n")) for line in lines])

    def sizes(self, table: SampleTable) -> Sizes:
        """Slots, clips and outputs of samples; those that have to be shortened are not known."""
        questions = [side.choose(table.subtasks, table.picks[:, 0]) for side in self.questions]
        answers = self.answers.choose(table.subtasks, table.picks[:, 1])
        alone, spaced = (column[answers] for column in self._begins_with_motion)
        filled = self.captions, table.texts, table.frames
        counts, known = self.answers.lengths.count(answers, *filled, table.coins[:, 1] < 0.5)
        for side, chosen, here in zip(self.questions, questions, (~alone, alone)):
            more, told = side.lengths.count(chosen, *filled, table.coins[:, 0] < 0.5)
            counts, known = counts + np.where(here, more, 0), known & (told | ~here)
        counts += 1 + bool(self.words.tokenizer.begin)  # and the end
        motion = self.questions[0].motion[questions[0]] + self.answers.motion[answers]
        clips = clip_frames([TASKS[subtask.task] for subtask in self.subtasks], table.subtasks, table.frames)
        outputs = self.answers.motion[answers] // self.holders
        known &= ~spaced & (counts <= self.max_length)
        return Sizes({"text": counts - motion, "motion": motion}, clips, {"outputs": outputs}, known)

    def _fill(self, template: str, motion: str) -> str:
        """A template with its motions filled in."""
        fillings = motion_fillings(motion, self.holders)
        return PLACEHOLDER.sub(lambda match: fillings.get(match[0], match[0]), template)


def _lead(answer: str) -> str:
    """What of the separator is tokenized with an answer: the space, unless a token follows that is no word."""
    return "" if not answer or answer.startswith(START) else " "
