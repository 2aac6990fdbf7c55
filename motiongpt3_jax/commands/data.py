"""Data sets of captioned motions: build them for training, look at them, validate them."""

import argparse
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np

from motiongpt3_jax.commands.arguments import command_parser, integer, output_folder, user_path
from motiongpt3_jax.data_pipelines import interhuman
from motiongpt3_jax.data_pipelines.check import check, check_interhuman
from motiongpt3_jax.data_pipelines.humanml3d import DATASETS
from motiongpt3_jax.data_pipelines.pairs import clip_motion
from motiongpt3_jax.data_pipelines.sources import (
    BUILT,
    LEAST_FRAMES,
    MADE,
    SOURCES,
    Overview,
    SourceOptions,
    build_source,
    overviews,
)
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.pictures import Entry, write_page, write_strip

EXAMPLES = """motiongpt3 data check humanml3d --path ~/HumanML3D
  motiongpt3 data build humanml3d --path ~/HumanML3D --out data/humanml3d
  motiongpt3 data show built --path data/humanml3d --out pictures"""
MOST_EXAMPLES = 10_000
BOTH = ("min_frames", "max_frames")
OPTIONS = {
    **dict.fromkeys(MADE, (*BOTH, "clips", "seed")),
    **dict.fromkeys((*DATASETS, interhuman.SOURCE), ("path", *BOTH, "on_bad")),
    BUILT: ("path",),
}
"""Which options concern which source."""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = command_parser(
        "data",
        "Captioned motions: build a source into a folder to train on, show what it holds, or check it.\n"
        "Sources: procedural and procedural_pairs (made here, of one person and of two), humanml3d (a folder laid out\n"
        "like HumanML3D), kit_ml (one of KIT-ML, as HumanML3D's authors prepared it), interhuman (one laid out like\n"
        "InterHuman, two people), built (what build wrote).",
        EXAMPLES,
    )
    default = SourceOptions()
    parser.add_argument("action", choices=tuple(ACTIONS))
    parser.add_argument("source", choices=tuple(OPTIONS))
    parser.add_argument("--path", type=user_path, metavar="DIR", help="folder of the source")
    parser.add_argument(
        "--out", type=user_path, metavar="DIR", help="folder to build into, or for pictures of some clips"
    )
    parser.add_argument("--on-bad", choices=("stop", "skip"), help="at broken files or lines (default: stop)")
    least = ", ".join(f"{frames} of {source}" for source, frames in LEAST_FRAMES.items())
    parser.add_argument("--min-frames", type=integer, help=f"least frames of a clip (default: {least})")
    parser.add_argument("--max-frames", type=integer, help=f"most frames of a clip (default: {default.max_frames})")
    parser.add_argument(
        "--clips", type=integer, help=f"how many to make, where they are made (default: {default.clips})"
    )
    parser.add_argument("--seed", type=integer, help=f"of what is made (default: {default.seed})")
    parser.add_argument("--examples", type=integer, default=3, help="clips of each split to show (default: 3)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Does it; 2 when a check found something broken."""
    options = {f.name: getattr(arguments, f.name, None) for f in fields(SourceOptions)}
    options = {name: value for name, value in options.items() if value is not None}
    for name in options:
        if name not in OPTIONS[arguments.source]:
            raise UserError(f"--{name.replace('_', '-')} does not concern the source '{arguments.source}'")
    if "path" in OPTIONS[arguments.source] and not arguments.path:
        raise UserError(f"the source '{arguments.source}' is read from a folder; give it with --path")
    return ACTIONS[arguments.action](arguments, SourceOptions(**options))


def _build(arguments: argparse.Namespace, options: SourceOptions) -> int:
    if arguments.source not in SOURCES:
        raise UserError(f"'{arguments.path}' is built already; build {', '.join(SOURCES[:-1])} or {SOURCES[-1]}")
    if not arguments.out:
        raise UserError("give a folder to build into with --out")
    metadata = build_source(arguments.source, arguments.out, options).metadata
    counts = ", ".join(f"{count} {split}" for split, count in metadata.clips.items())
    print(f"{arguments.out}: {counts}")
    if metadata.skipped:
        print(f"left out, as metadata.json lists: {len(metadata.skipped)}; the first: {metadata.skipped[0]}")
    return 0


def _check(arguments: argparse.Namespace, options: SourceOptions) -> int:
    if "path" not in OPTIONS[arguments.source]:
        raise UserError(f"the source '{arguments.source}' is made and not read; there is nothing to check")
    problems = CHECKS[arguments.source](options.path, options.min_frames, options.max_frames)
    for problem in problems:
        print(f"{problem.severity:<5}{problem}")
    bad = sum(problem.bad for problem in problems)
    print(f"{options.path}: {bad} bad, {len(problems) - bad} noted")
    return 2 if bad else 0


def _show(arguments: argparse.Namespace, options: SourceOptions) -> int:
    if not 0 <= arguments.examples <= MOST_EXAMPLES:
        raise UserError(f"--examples {arguments.examples}: ask for 0 to {MOST_EXAMPLES:,}")
    summaries = overviews(arguments.source, options, arguments.examples)
    print(f"{'split':<8}{'clips':>8}{'captions':>10}{'hours':>8}   frames: least, median, most")
    for overview in summaries:
        frames = [int(q) for q in np.quantile(overview.lengths, (0, 0.5, 1))] if overview.lengths else "-"
        hours = sum(overview.lengths) / overview.skeleton.fps / 3600
        sizes = f"{len(overview.lengths):>8}{sum(overview.captions):>10}{hours:>8.2f}"
        print(f"{overview.split:<8}{sizes}   {', '.join(map(str, frames))}")
    for overview in summaries:
        for clip in overview.examples:
            print(f"\n{overview.split} {clip.id}, {len(clip.features)} frames", *clip.captions, sep="\n  ")
    if arguments.out:
        _draw(output_folder(arguments.out), summaries)
    return 0


def _draw(folder: Path, summaries: list[Overview]) -> None:
    entries = []
    for overview in summaries:
        for clip in overview.examples:
            motion, caption = clip_motion(clip, overview.skeleton), " / ".join(clip.captions)
            entries.append(Entry(caption, motion, f"{overview.split} {clip.id}"))
            write_strip(folder / f"{overview.split}_{clip.id.replace('/', '_')}.png", motion, caption)
    if not entries:
        raise UserError("there is no clip to draw; ask for some with --examples")
    write_page(folder / "clips.html", entries, "Clips")
    print(f"\n{folder / 'clips.html'}")


CHECKS = {
    **{name: partial(check, dataset=dataset) for name, dataset in DATASETS.items()},
    interhuman.SOURCE: check_interhuman,
    BUILT: check,
}
"""What checks the folder of a source."""

ACTIONS = {"build": _build, "show": _show, "check": _check}
