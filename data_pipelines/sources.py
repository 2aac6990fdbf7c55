"""The sources of captioned motions by name: what they hold, and how to build them."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from motiongpt3_jax.data_pipelines import humanml3d, interhuman, procedural, procedural_pairs, records
from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import HUMANML3D, Skeleton

MOST_CLIPS, MOST_SHOWN = 1_000_000, 50_000
"""Most clips of a source that makes them that are built, which takes hours, and that are made to be looked at."""

SENTENCES = 2000
"""Clips whose captions are made where their motions are not asked for."""

LARGEST_SEED = (1 << 63) - 1
SHORTEST_CLIP, LONGEST_CLIP = 23, 10_000
"""Frames of features that a clip of a source that makes them may have."""

BUILT = "built"
"""What a folder is called that `build_source` wrote."""

LEAST_FRAMES = (
    {"procedural": 40, "procedural_pairs": 40}
    | {name: dataset.min_frames for name, dataset in humanml3d.DATASETS.items()}
    | {interhuman.SOURCE: interhuman.MIN_FRAMES}
)
"""Frames of the shortest clips of a source, where nobody says otherwise."""


@dataclass(frozen=True)
class SourceOptions:
    """What a source is asked for; each takes what concerns it.

    Attributes:
      path: folder that a source reads which makes none itself.
      min_frames: least frames of a clip, as features; by default those of `LEAST_FRAMES`.
      max_frames: most frames, included.
      on_bad: whether such a source stops at what is broken ("stop"), or leaves it out and records that ("skip").
      clips: how many `procedural` and `procedural_pairs` make, all splits together.
      seed: another seed gives another data set of theirs.
      sequences: share of `procedural` clips in which one action follows another.
    """

    path: str = ""
    min_frames: int | None = None
    max_frames: int = 199
    on_bad: humanml3d.OnBad = "stop"
    clips: int = procedural.CLIPS
    seed: int = 0
    sequences: float = 0.3


@dataclass(frozen=True)
class Overview:
    """One split of a source, for people.

    Attributes:
      split: its name.
      lengths: frames of every clip.
      captions: how many captions every clip has.
      examples: a few clips from all over the split.
      skeleton: which joints their features describe.
    """

    split: str
    lengths: list[int]
    captions: list[int]
    examples: list[Clip]
    skeleton: Skeleton = HUMANML3D


def build_source(source: str, out: str | os.PathLike[str], options: SourceOptions | None = None) -> records.Records:
    """Builds a source into a new folder.

    Raises:
      FileExistsError: there is something in `out`.
      FileNotFoundError: the source's folder does not exist.
      UserError: unknown source, or options that it cannot meet.
    """
    return _of(source, _BUILD)(out, with_least_frames(source, options or SourceOptions()))


def overviews(source: str, options: SourceOptions, examples: int) -> list[Overview]:
    """What a source, or a built folder (source "built"), holds in every split, with some of its clips.

    Raises:
      FileNotFoundError: its folder does not exist.
      UserError: unknown source, or options that it cannot meet.
    """
    return list(_of(source, _SHOW)(with_least_frames(source, options), examples))


def with_least_frames(source: str, options: SourceOptions) -> SourceOptions:
    """Fill in the default of the shortest clip, which depends on the source."""
    if options.min_frames is not None or source not in LEAST_FRAMES:
        return options
    return replace(options, min_frames=LEAST_FRAMES[source])


def _of(source: str, table: dict[str, Callable]) -> Callable:
    if source not in table:
        raise UserError(f"source '{source}' is not known; choose one of {', '.join(table)}.")
    return table[source]


def possible_actions(source: str, min_frames: int, max_frames: int, sequences: float) -> list[Any]:
    """What clips of so many frames may show, of a source that makes them.

    Raises:
      UserError: options that leave nothing to choose.
    """
    kinds = _kinds(source, SourceOptions(min_frames=min_frames, max_frames=max_frames, sequences=sequences))
    return _POSSIBLE[source](kinds)


def made_sentences(source: str) -> Iterable[str]:
    """Captions such as those of a source that makes its clips.

    Raises:
      UserError: it makes none.
    """
    return _of(source, MADE).sentences(SENTENCES)


def open_source(source: str, path: str | os.PathLike[str]) -> Any:
    """Opens the folder of a source that reads one.

    Raises:
      FileNotFoundError: there is no such folder.
      UserError: it is none of the source's.
    """
    return _of(source, _OPEN)(path)


def _build_made(source: str, out: str | os.PathLike[str], options: SourceOptions) -> records.Records:
    kinds, counts = _made(source, options, MOST_CLIPS)
    joints = MADE[source].generate(0, options.seed, kinds).joints  # all made bodies are one
    return records.build(
        out,
        {split: MADE[source].clips(split, count, options.seed, kinds) for split, count in counts.items()},
        source=source,
        offsets=HUMANML3D.offsets(joints.reshape(-1, *joints.shape[-2:])[0]),
        options={**asdict(kinds), "clips": options.clips, "seed": options.seed},
    )


def _build_folder(dataset: humanml3d.Dataset, out: str | os.PathLike[str], options: SourceOptions) -> records.Records:
    limits = {"min_frames": options.min_frames, "max_frames": options.max_frames}
    return humanml3d.build(_path(dataset.source, options), out, dataset=dataset, on_bad=options.on_bad, **limits)


def _build_interhuman(out: str | os.PathLike[str], options: SourceOptions) -> records.Records:
    limits = {"min_frames": options.min_frames, "max_frames": options.max_frames}
    return interhuman.build(_path(interhuman.SOURCE, options), out, on_bad=options.on_bad, **limits)


def _show_made(source: str, options: SourceOptions, examples: int) -> Iterator[Overview]:
    kinds, counts = _made(source, options, MOST_SHOWN)
    for split, count in counts.items():
        yield _overview(split, MADE[source].clips(split, count, options.seed, kinds), count, examples)


def _show_interhuman(options: SourceOptions, examples: int) -> Iterator[Overview]:
    folder = interhuman.open_folder(_path(interhuman.SOURCE, options))
    limits = {"min_frames": options.min_frames, "max_frames": options.max_frames}
    report = interhuman.survey(folder, humanml3d.Limits(**limits))
    for split, windows in report.windows.items():
        count = interhuman.clip_count(split, windows)
        yield _overview(split, interhuman.clips(folder.root, split, offsets=report.offsets, **limits), count, examples)


def _overview(split: str, clips: Iterable[Clip], count: int, examples: int) -> Overview:
    overview, chosen = Overview(split, [], [], []), _spread(count, examples)
    for number, clip in enumerate(clips):
        overview.lengths.append(len(clip.features))
        overview.captions.append(len(clip.captions))
        if number in chosen:
            overview.examples.append(clip)
    return overview


def _show_folder(dataset: humanml3d.Dataset, options: SourceOptions, examples: int) -> Iterator[Overview]:
    folder = humanml3d.open_folder(_path(dataset.source, options), dataset)
    limits = humanml3d.Limits(options.min_frames, options.max_frames)
    found = humanml3d.survey(folder, limits)
    bones = humanml3d.target_offsets(folder, limits, found.first)
    for split, cuts in found.cuts.items():
        lengths, captions = [cut.stop - cut.start for _, cut in cuts], [len(cut.captions) for _, cut in cuts]
        overview = Overview(split, lengths, captions, [], dataset.skeleton)
        for name, cut in (cuts[i] for i in _spread(len(cuts), examples)):
            recording, _ = humanml3d.read_recording(folder, name, limits)
            overview.examples.extend(clip for clip in recording.clips(bones) if clip.id == cut.id)
        yield overview


def _show_built(options: SourceOptions, examples: int) -> Iterator[Overview]:
    built = records.open_records(_path(BUILT, options))
    for name in built.splits:
        split = built.split(name)
        counts = [len(captions) for captions in split.captions]
        shown = [split.source[i] for i in _spread(len(split), examples)]
        yield Overview(name, split.lengths, counts, shown, built.skeleton)


MADE: dict[str, ModuleType] = {"procedural": procedural, "procedural_pairs": procedural_pairs}
"""Sources that make their clips, and read no folder."""

_POSSIBLE: dict[str, Callable[[Any], list[Any]]] = {
    "procedural": procedural.possible_moves,
    "procedural_pairs": procedural_pairs.possible_interactions,
}
_BUILD = (
    {name: partial(_build_made, name) for name in MADE}
    | {name: partial(_build_folder, dataset) for name, dataset in humanml3d.DATASETS.items()}
    | {interhuman.SOURCE: _build_interhuman}
)
_SHOW = (
    {name: partial(_show_made, name) for name in MADE}
    | {name: partial(_show_folder, dataset) for name, dataset in humanml3d.DATASETS.items()}
    | {interhuman.SOURCE: _show_interhuman, BUILT: _show_built}
)
_OPEN: dict[str, Callable[[str | os.PathLike[str]], Any]] = {
    name: partial(humanml3d.open_folder, dataset=dataset) for name, dataset in humanml3d.DATASETS.items()
} | {interhuman.SOURCE: interhuman.open_folder}
SOURCES = tuple(_BUILD)


def _kinds(source: str, options: SourceOptions) -> Any:
    # Its frames are those of joints, of which features lose one.
    lengths = {"min_frames": options.min_frames + 1, "max_frames": options.max_frames + 1}
    if source == "procedural":
        return procedural.Options(**lengths, sequences=options.sequences)
    return procedural_pairs.Options(**lengths)


def _made(source: str, options: SourceOptions, most: int) -> tuple[Any, dict[str, int]]:
    if not 1 <= options.clips <= most:
        raise UserError(f"{options.clips} clips of source '{source}': ask for 1 to {most:,} here.")
    if not 0 <= options.seed <= LARGEST_SEED:
        raise UserError(f"seed {options.seed} of source '{source}': give one from 0 to {LARGEST_SEED}.")
    if not SHORTEST_CLIP <= options.min_frames <= options.max_frames <= LONGEST_CLIP:
        raise UserError(
            f"clips of {options.min_frames} to {options.max_frames} frames of source '{source}': expected "
            f"{SHORTEST_CLIP} <= min_frames <= max_frames <= {LONGEST_CLIP:,}."
        )
    splits = [procedural.split_of(index) for index in range(options.clips)]
    return _kinds(source, options), {split: splits.count(split) for split in procedural.SPLITS if split in splits}


def _path(source: str, options: SourceOptions) -> str:
    if not options.path:
        raise UserError(f"source '{source}' is read from a folder; give its path.")
    return os.path.expanduser(options.path)


def _spread(count: int, examples: int) -> list[int]:
    """Some of `count` numbers, from all over."""
    return np.unique(np.linspace(0, count - 1, min(examples, count)).astype(int)).tolist()
