"""Random draws of an epoch in bulk: which samples it has, in which order, and what chance decides about each.

A sample is a visit of a clip with a sub-task. Both generators are counter-based (Philox, Salmon et al. 2011), keyed by
(seed, epoch): the draws of any samples are found without those before them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from motiongpt3_jax.batch import ClipRange, SampleSource, SampleTable

DRAWS = 8
"""Random numbers of a sample, in the order of `tabulate`."""

BLOCK = 4
"""Numbers that Philox makes of one value of its counter."""


@dataclass(frozen=True, eq=False)
class Visits:
    """What is visited in every epoch.

    Attributes:
      seed: decides order and draws.
      subtasks: (name, chance that a clip is visited with it in an epoch).
      shuffle: whether each epoch has an order of its own.
      crop: whether a third of the samples see the clip cut to a multiple of four frames; clips of several people are
        cut at their end alone.
      lengths: frames of every clip.
      captions: captions of every clip.
      extras, codes: see `SampleSource`.
    """

    seed: int
    subtasks: Sequence[tuple[str, float]]
    shuffle: bool
    crop: bool
    lengths: Sequence[int]
    captions: Sequence[Sequence[str]]
    extras: Sequence[tuple[int, Mapping[str, tuple[float, ...]]]] | None = None
    codes: Sequence[Mapping[ClipRange, Shaped[np.ndarray, "codes"]]] | None = None

    @cached_property
    def source(self) -> SampleSource:
        """Texts and tasks of all samples; the last text is the empty one."""
        texts = [text for texts in self.captions for text in texts]
        return SampleSource([*texts, ""], [name for name, _ in self.subtasks], self.extras, self.codes)

    @cached_property
    def chances(self) -> Float[np.ndarray, "subtasks"]:
        """Of a visit, for each sub-task."""
        return np.array([chance for _, chance in self.subtasks])

    @cached_property
    def _lengths(self) -> Int[np.ndarray, "clips"]:
        return np.asarray(self.lengths, np.int64)

    @cached_property
    def _alone(self) -> Bool[np.ndarray, "clips"]:
        return np.array([persons == 1 for persons, _ in self.extras])

    @cached_property
    def _texts(self) -> tuple[Int[np.ndarray, "clips"], Int[np.ndarray, "clips"]]:
        """(place of its first caption, how many it has) of every clip."""
        counts = np.array([len(texts) for texts in self.captions], np.int64)
        return np.cumsum(counts) - counts, counts

    def order(self, epoch: int) -> Int[np.ndarray, "samples"]:
        """Numbers of an epoch's samples in their order: clip x sub-tasks + sub-task."""
        draws = np.random.Generator(np.random.Philox(key=[self.seed, epoch], counter=[0, 0, 1, 0]))
        uniform = draws.random((len(self.lengths), len(self.chances)))
        chosen = np.flatnonzero((uniform < self.chances).ravel())
        return draws.permutation(chosen) if self.shuffle else chosen

    def draws(self, epoch: int, start: int, stop: int) -> Float[np.ndarray, "samples draws"]:
        """Random numbers in [0, 1) of the samples at some places of an epoch's order."""
        counter = [start * DRAWS // BLOCK, 0, 2, 0]
        generator = np.random.Generator(np.random.Philox(key=[self.seed, epoch], counter=counter))
        return generator.random((stop - start, DRAWS))

    def tabulate(self, numbers: Int[np.ndarray, "samples"], draws: Float[np.ndarray, "samples draws"]) -> SampleTable:
        """Samples with their captions, crops and the draws of their prompts."""
        clips, subtasks = np.divmod(numbers, len(self.subtasks))
        starts, frames = crops(self._lengths[clips], draws[:, 1], draws[:, 2], self.crop)
        if self.extras is not None:
            starts = np.where(self._alone[clips], starts, 0)  # where several people are counts from the first frame
        first, counts = (column[clips] for column in self._texts)
        texts = np.where(counts > 0, first + (draws[:, 0] * counts).astype(np.int64), len(self.source.texts) - 1)
        picks, coins, others = draws[:, 3:5], draws[:, 5:7], draws[:, 7]
        return SampleTable(self.source, numbers, clips, starts, frames, texts, subtasks, picks, coins, others)


def crops(
    lengths: Int[np.ndarray, "samples"],
    cut: Float[np.ndarray, "samples"],
    place: Float[np.ndarray, "samples"],
    crop: bool,
) -> tuple[Int[np.ndarray, "samples"], Int[np.ndarray, "samples"]]:
    """(start, frames): whole with chance 2/3, else a multiple of four frames somewhere in the clip."""
    quarters = lengths // 4
    if not crop:
        return np.zeros_like(lengths), lengths
    whole = (cut < 2 / 3) | (quarters < 2)
    short = 4 * np.where(cut < 5 / 6, quarters - 1, quarters)
    starts = (place * (lengths - short + 1)).astype(np.int64)
    return np.where(whole, 0, starts), np.where(whole, lengths, short)
