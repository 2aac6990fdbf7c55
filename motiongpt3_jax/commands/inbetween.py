"""Motions that join a beginning to an end."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from motiongpt3_jax.commands.arguments import (
    add_model,
    add_sampling,
    command_parser,
    load_model,
    motion_options,
    output_folder,
)
from motiongpt3_jax.commands.motions import add_motions, read_motions
from motiongpt3_jax.commands.predict import add_protocol
from motiongpt3_jax.commands.results import Result, add_results, bend_note, note_untrained, origin, write_results
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.motion.resample import resampled


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = command_parser(
        "inbetween",
        "Fills the middle of each motion file, or with --to the time between two files. The given frames stay as they "
        "are, to the bit; how far the made part had to be bent to meet them is reported.",
        "motiongpt3 inbetween --model runs/demo --motion walk.npy --out joined",
    )
    add_model(found)
    add_motions(found)
    found.add_argument("--to", metavar="FILE", help="the end is this file; --motion is one file, the beginning")
    found.add_argument("--fps", type=float, help="frames a second of files that do not say (default: the data set's)")
    found.add_argument("--share", type=float, default=0.25, help="part given at either end of a file (default: 0.25)")
    found.add_argument("--seconds", type=float, help="length of the middle (default: as in the file)")
    found.add_argument("--samples", type=int, default=1, help="results per file (default: 1)")
    found.add_argument("--seed", type=int, default=0, help="result n of the command has seed SEED + n")
    add_protocol(found)
    add_results(found)
    add_sampling(found)
    return found


def run(arguments: argparse.Namespace) -> None:
    """Joins, writes, and says where everything lies and how far it was bent."""
    if not 0 < arguments.share < 0.5:
        raise ValueError(f"--share {arguments.share:g}: give a part of the file, above 0 and below 0.5")
    if arguments.samples < 1:
        raise ValueError(f"--samples {arguments.samples}: ask for at least one result a file")
    if arguments.to and (len(arguments.motion) > 1 or arguments.seconds is None):
        raise ValueError("with --to give one --motion, and --seconds for the time between the two")
    folder = output_folder(arguments.out)
    model = load_model(arguments)
    options = motion_options(arguments, model)
    body = model.engine.folder.body
    paths = [*arguments.motion, *([arguments.to] if arguments.to else [])]
    motions = read_motions(paths, arguments.mapping, file_fps=arguments.fps, body=body)
    note_untrained(model, "inbetween")
    sides = [(*motions[:1], resampled(motions[1], motions[0].fps))] if arguments.to else None
    results = []
    for number in range(len(arguments.motion) * arguments.samples):
        path, motion = arguments.motion[number // arguments.samples], motions[number // arguments.samples]
        seed = arguments.seed + number
        said = {"motion": path, "seed": seed}
        if arguments.protocol == "official":
            made = model.official("inbetween", [motion], seed=seed, **asdict(options))[0]
            results.append(Result(made, Path(path).name, f"official, seed {seed}", said))
            continue
        start, end = sides[0] if sides else ends(path, motion, arguments.share)
        between = motion.frames - start.frames - end.frames
        if arguments.seconds is not None:
            between = round(arguments.seconds * motion.fps)
        made, bends = model.inbetween(start, end, frames=between, seed=seed, **asdict(options))
        notes = [bend_note(bend) for bend in bends]
        said |= {"given": [start.frames, end.frames], "bent": notes}
        title = f"{Path(path).name} to {Path(arguments.to).name}" if arguments.to else Path(path).name
        results.append(Result(made, title, f"{between / motion.fps:.1f} s made; {notes[-1]}; seed {seed}", said))
        print(f"{title}: {notes[-1]}")
    said = origin(model, arguments.model, options) | {"protocol": arguments.protocol}
    write_results(folder, arguments, results, "Motions joined", said)
    print(f"{len(results)} motions in {folder}; open {folder / 'index.html'}")


def ends(path: str, motion: Motion, share: float) -> Sequence[Motion]:
    """Beginning and end of a motion; raises ValueError when nothing lies between."""
    given = max(round(share * motion.frames), 1)
    if motion.frames <= 2 * given:
        raise ValueError(f"{path} has {motion.frames} frames: nothing lies between the {given} given at either end")
    parts = motion.joints[:, :given], motion.joints[:, motion.frames - given :]
    return [replace(motion, joints=part) for part in parts]
