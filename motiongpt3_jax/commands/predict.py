"""Motions that go on from the beginning of a motion file."""

import argparse
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
from motiongpt3_jax.commands.results import Result, add_results, bend_note, note_untrained, origin, write_results


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = command_parser(
        "predict",
        "Goes on from the beginning of each motion file. The given frames stay as they are, to the bit, and the result "
        "has the file's own place, proportions and frame rate.",
        "motiongpt3 predict --model runs/demo --motion walk.bvh --share 1 --seconds 6 --out predicted",
    )
    add_model(found)
    add_motions(found)
    found.add_argument("--fps", type=float, help="frames a second of files that do not say (default: the data set's)")
    found.add_argument("--share", type=float, default=0.2, help="part of the file that is given (default: 0.2)")
    length = found.add_mutually_exclusive_group()
    length.add_argument(
        "--seconds", type=float, help="length of the result, the given part included (default: the file's)"
    )
    length.add_argument("--frames", type=int, help="the same in frames of the file")
    found.add_argument("--samples", type=int, default=1, help="results per file (default: 1)")
    found.add_argument("--seed", type=int, default=0, help="result n of the command has seed SEED + n")
    add_protocol(found)
    add_results(found)
    add_sampling(found)
    return found


def add_protocol(parser: argparse.ArgumentParser) -> None:
    """How the task is run."""
    parser.add_argument(
        "--protocol",
        default="exact",
        choices=("exact", "official"),
        help="official: as the published evaluation runs it, the whole motion in the model's own place and proportions",
    )


def run(arguments: argparse.Namespace) -> None:
    """Predicts, writes, and says where everything lies."""
    if not 0 < arguments.share <= 1:
        raise ValueError(f"--share {arguments.share:g}: give a part of the file, above 0 and up to 1")
    if arguments.samples < 1:
        raise ValueError(f"--samples {arguments.samples}: ask for at least one result a file")
    folder = output_folder(arguments.out)
    model = load_model(arguments)
    options = motion_options(arguments, model)
    body = model.engine.folder.body
    motions = read_motions(arguments.motion, arguments.mapping, file_fps=arguments.fps, body=body)
    note_untrained(model, "predict")
    wanted = [(path, motion) for path, motion in zip(arguments.motion, motions) for _ in range(arguments.samples)]
    results = []
    for number, (path, motion) in enumerate(wanted):
        seed = arguments.seed + number
        said = {"motion": path, "seed": seed}
        if arguments.protocol == "official":
            made = model.official("predict", [motion], seed=seed, **asdict(options))[0]
            results.append(Result(made, Path(path).name, f"official, seed {seed}", said))
            continue
        given = max(round(arguments.share * motion.frames), 1)
        frames = arguments.frames or motion.frames
        if arguments.seconds is not None:
            frames = round(arguments.seconds * motion.fps)
        if frames <= given:
            raise ValueError(
                f"{path} has {motion.frames} frames, of which {given} are given and {frames} are asked for: "
                "ask for more with --seconds, or give less with --share"
            )
        part = replace(motion, joints=motion.joints[:, :given])
        made, bends = model.predict(part, frames=frames, seed=seed, **asdict(options))
        said |= {"given": given, "bent": [bend_note(bend) for bend in bends]}
        results.append(Result(made, Path(path).name, f"{given / motion.fps:.1f} s given, seed {seed}", said))
    said = origin(model, arguments.model, options) | {"protocol": arguments.protocol}
    write_results(folder, arguments, results, "Motions that go on", said)
    print(f"{len(results)} motions in {folder}; open {folder / 'index.html'}")
