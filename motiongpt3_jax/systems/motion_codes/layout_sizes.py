"""What samples take of a row, counted without laying them out; see `PairLayout` and `TextLayout`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from motiongpt3_jax.batch import SampleSource, SampleTable, Sizes
from motiongpt3_jax.systems.motion_codes.pieces import merge_words, plain, split_at_motions
from motiongpt3_jax.systems.motion_codes.tokens import FRAMES_PER_CODE, MARKS, MotionTokens
from motiongpt3_jax.text import ALL_TASKS, Subtask
from motiongpt3_jax.text.prompt_lengths import CaptionLengths, TemplateLengths
from motiongpt3_jax.text.subtasks import PLACEHOLDERS
from motiongpt3_jax.text.tasks import clip_frames
from motiongpt3_jax.text.word_tokens import WordTokens


class Counted(NamedTuple):
    """Tokens of some samples.

    Attributes:
      question, answer: tokens of each side, without an end.
      clips: frames of what is to be encoded; -1 where there is nothing.
      known: of which samples this is right.
    """

    question: Int[np.ndarray, "samples"]
    answer: Int[np.ndarray, "samples"]
    clips: Int[np.ndarray, "samples clips"]
    known: Bool[np.ndarray, "samples"]


@dataclass(frozen=True, eq=False)
class Side:
    """The questions, or the answers, of some sub-tasks.

    Attributes:
      firsts, counts: place of the first template of each sub-task, and how many it has.
      lengths: tokens of the words of each template.
      single, masked: motions in each, and motions whose middle is hidden.
    """

    firsts: Int[np.ndarray, "subtasks"]
    counts: Int[np.ndarray, "subtasks"]
    lengths: TemplateLengths
    single: Int[np.ndarray, "templates"]
    masked: Int[np.ndarray, "templates"]

    @classmethod
    def of(cls, templates: Sequence[Sequence[str]], around: tuple[str, str], words: WordTokens, fps: float) -> "Side":
        """That of the templates of each sub-task, with some text around each."""
        counts = np.array([len(lines) for lines in templates])
        parts = [split_at_motions(line) for lines in templates for line in lines]
        motions = [[PLACEHOLDERS[name] for name in split[1::2]] for split in parts]
        runs = [_runs(split, around) for split in parts]
        single, masked = (np.array([some.count(number) for some in motions]) for number in (1, 2))
        return cls(np.cumsum(counts) - counts, counts, TemplateLengths(words, fps, runs), single, masked)


class PromptSizes:
    """Counts the tokens of samples of one source.

    Args:
      words: tokenizes.
      tokens: ids of motions.
      subtasks: templates of every sub-task, by name.
      source: of the samples.
      fps: frames in a second.
      around: texts before and behind a question, and before and behind an answer.
      unpaired: shares of the samples that are words alone, and of those that are words or motion alone.
    """

    def __init__(
        self,
        words: WordTokens,
        tokens: MotionTokens,
        subtasks: Mapping[str, Subtask],
        source: SampleSource,
        fps: float,
        around: tuple[tuple[str, str], tuple[str, str]],
        unpaired: tuple[float, float],
    ) -> None:
        self.captions = CaptionLengths(words, source.texts)
        self.subtasks = [subtasks[name] for name in source.subtasks]
        self.tasks = [ALL_TASKS[subtask.task] for subtask in self.subtasks]
        self.words, self.fps, self.around, self.unpaired = words, fps, around, unpaired
        self.masks = tokens.mask is not None

    @cached_property
    def sides(self) -> tuple[Side, Side]:
        """Questions and answers."""
        lines = [subtask.inputs for subtask in self.subtasks], [subtask.outputs for subtask in self.subtasks]
        return tuple(Side.of(some, around, self.words, self.fps) for some, around in zip(lines, self.around))

    @cached_property
    def _inputs(self) -> Int[np.ndarray, "subtasks"]:
        return np.array([len(task.input_spans) for task in self.tasks])

    @cached_property
    def _filled(self) -> Bool[np.ndarray, "texts"]:
        return np.array([bool(text.strip()) for text in self.captions.texts])

    def pairs(self, table: SampleTable) -> Counted:
        """Samples as questions and answers."""
        clips = clip_frames(self.tasks, table.subtasks, table.frames)
        codes = np.where(clips > 0, -(-clips // FRAMES_PER_CODE), 0)
        place, inputs = np.arange(clips.shape[1]), self._inputs[table.subtasks][:, None]
        counts, known = [], np.ones(len(table), bool)
        for number, side in enumerate(self.sides):
            chosen = side.firsts[table.subtasks] + (table.picks[:, number] * side.counts[table.subtasks]).astype(
                np.int64
            )
            words, told = side.lengths.count(
                chosen, self.captions, table.texts, table.frames, table.coins[:, number] < 0.5
            )
            single, masked = side.single[chosen], side.masked[chosen]
            first = inputs * number  # motions of an answer follow those of its question
            shown = (place >= first) & (place < first + (single + 2 * masked)[:, None])
            given = codes[:, :2].sum(1)
            hidden = np.maximum(-(-table.frames // FRAMES_PER_CODE) - given, 1)
            between = hidden if self.masks else MARKS
            counts.append(words + (codes * shown).sum(1) + MARKS * (single + masked) + between * masked)
            known &= told
        return Counted(counts[0], counts[1], np.where(clips > 0, clips, -1), known)

    def alone(self, table: SampleTable) -> tuple[Bool[np.ndarray, "samples"], Bool[np.ndarray, "samples"]]:
        """Which samples are words alone, and which motion alone."""
        text, either = self.unpaired
        words = (table.draws < text) & self._filled[table.texts]
        return words, (table.draws >= text) & (table.draws < either)

    def unpaired_lengths(self, table: SampleTable, words: Bool[np.ndarray, "samples"]) -> Int[np.ndarray, "samples"]:
        """Tokens of each sample if it is words alone, where `words`, or else motion alone."""
        motion = -(-table.frames // FRAMES_PER_CODE) + MARKS
        return np.where(words, self.captions.between("", "")[table.texts], motion)


def count_sizes(
    prompts: PromptSizes,
    table: SampleTable,
    longest: int,
    slots: Callable[[Counted, Int[np.ndarray, "samples"], Bool[np.ndarray, "samples"]], tuple[dict, np.ndarray]],
) -> Sizes:
    """Slots and clips of samples; those that have to be shortened are not known.

    Args:
      prompts: counts.
      table: the samples.
      longest: most tokens of a stream.
      slots: (slots of each stream, tokens of the longest sequence) of pairs, and of samples alone of so many tokens,
        by which of the two each sample is.
    """
    paired = prompts.pairs(table)
    words, motion = prompts.alone(table)
    alone = words | motion
    streams, longest_here = slots(paired, prompts.unpaired_lengths(table, words), alone)
    whole = np.full_like(paired.clips, -1)
    whole[motion, 0] = table.frames[motion]
    clips = np.where(alone[:, None], whole, paired.clips)
    if table.source.codes is not None:
        clips = np.full_like(clips, -1)  # they are there already
    known = np.where(alone, motion | prompts.captions.plain[table.texts], paired.known) & (longest_here <= longest)
    return Sizes(streams, clips, {}, known)


def _runs(parts: Sequence[str], around: tuple[str, str]) -> list[str]:
    """The texts of a template that are tokenized apart: those between motions, without the spaces at their ends."""
    pieces = [part if number % 2 == 0 else plain(()) for number, part in enumerate(parts)]
    return [part for part in merge_words([around[0], *pieces, around[1]], trim=True) if isinstance(part, str)]
