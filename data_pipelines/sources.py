"""The sources of captioned motions by name: what they hold, and how to build them."""

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np

from motiongpt3_jax.data_pipelines import humanml3d, procedural, records
from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import HUMANML3D, Skeleton

MOST_CLIPS, MOST_SHOWN = 1_000_000, 50_000
"""Most clips of `procedural` that are built, which takes hours, and that are made to be looked at."""

LARGEST_SEED = (1 << 63) - 1
SHORTEST_CLIP, LONGEST_CLIP = 23, 10_000
"""Frames of features that a clip of `procedural` may have."""

BUILT = "built"
"""What a folder is called that `build_source` wrote."""

LEAST_FRAMES = {"procedural": 40} | {name: dataset.min_frames for name, dataset in humanml3d.DATASETS.items()}
"""Frames of the shortest clips of a source, where nobody says otherwise."""


@dataclass(frozen=True)
class SourceOptions:
    """What a source is asked for; each takes what concerns it.

    Attributes:
      path: folder that `humanml3d` and `kit_ml` read.
      min_frames: least frames of a clip, as features; by default those of `LEAST_FRAMES`.
      max_frames: most frames, included.
      on_bad: whether `humanml3d` and `kit_ml` stop at what is broken ("stop"), or leave it out and record that
        ("skip").
      clips: how many `procedural` makes, all splits together.
      seed: another seed gives another `procedural` data set.
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


def _build_procedural(out: str | os.PathLike[str], options: SourceOptions) -> records.Records:
    kinds, counts = _procedural(options, MOST_CLIPS)
    return records.build(
        out,
        {split: procedural.clips(split, count, options.seed, kinds) for split, count in counts.items()},
        source="procedural",
        offsets=HUMANML3D.offsets(procedural.generate(0, options.seed, kinds).joints[0]),
        options={**asdict(kinds), "clips": options.clips, "seed": options.seed},
    )


def _build_folder(dataset: humanml3d.Dataset, out: str | os.PathLike[str], options: SourceOptions) -> records.Records:
    limits = {"min_frames": options.min_frames, "max_frames": options.max_frames}
    return humanml3d.build(_path(dataset.source, options), out, dataset=dataset, on_bad=options.on_bad, **limits)


def _show_procedural(options: SourceOptions, examples: int) -> Iterator[Overview]:
    kinds, counts = _procedural(options, MOST_SHOWN)
    for split, count in counts.items():
        overview = Overview(split, [], [], [])
        chosen = _spread(count, examples)
        for number, clip in enumerate(procedural.clips(split, count, options.seed, kinds)):
            overview.lengths.append(len(clip.features))
            overview.captions.append(len(clip.captions))
            if number in chosen:
                overview.examples.append(clip)
        yield overview


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


_BUILD = {"procedural": _build_procedural} | {
    name: partial(_build_folder, dataset) for name, dataset in humanml3d.DATASETS.items()
}
_SHOW = {"procedural": _show_procedural, BUILT: _show_built} | {
    name: partial(_show_folder, dataset) for name, dataset in humanml3d.DATASETS.items()
}
SOURCES = tuple(_BUILD)


def _procedural(options: SourceOptions, most: int) -> tuple[procedural.Options, dict[str, int]]:
    if not 1 <= options.clips <= most:
        raise UserError(f"{options.clips} clips of source 'procedural': ask for 1 to {most:,} here.")
    if not 0 <= options.seed <= LARGEST_SEED:
        raise UserError(f"seed {options.seed} of source 'procedural': give one from 0 to {LARGEST_SEED}.")
    # Its frames are those of joints, of which features lose one.
    if not SHORTEST_CLIP <= options.min_frames <= options.max_frames <= LONGEST_CLIP:
        raise UserError(
            f"clips of {options.min_frames} to {options.max_frames} frames of source 'procedural': expected "
            f"{SHORTEST_CLIP} <= min_frames <= max_frames <= {LONGEST_CLIP:,}."
        )
    kinds = procedural.Options(options.min_frames + 1, options.max_frames + 1, options.sequences)
    splits = [procedural.split_of(index) for index in range(options.clips)]
    return kinds, {split: splits.count(split) for split in procedural.SPLITS if split in splits}


def _path(source: str, options: SourceOptions) -> str:
    if not options.path:
        raise UserError(f"source '{source}' is read from a folder; give its path.")
    return os.path.expanduser(options.path)


def _spread(count: int, examples: int) -> list[int]:
    """Some of `count` numbers, from all over."""
    return np.unique(np.linspace(0, count - 1, min(examples, count)).astype(int)).tolist()
