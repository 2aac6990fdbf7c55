"""Motion in-betweening: fills the time between a beginning and an end."""

import argparse
import math
from dataclasses import replace
from pathlib import Path

from motiongpt3_jax.commands.arguments import command_parser, duration, user_path
from motiongpt3_jax.commands.continuations import (
    Request,
    add_arguments,
    answer_each,
    official_results,
    read_request,
    require_result,
    write_answers,
)
from motiongpt3_jax.commands.results import Result, bend_note
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.continuation import SHORTEST
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.motion.resample import resample_motion

SHARE = 0.25
"""Part of a file that is given at either end, as in training."""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = command_parser(
        "inbetween",
        "Fills the middle of each motion file, or with --to the time between two files. The given frames stay as they "
        "are, to the bit; how far the made part had to be bent to meet them is reported.",
        "motiongpt3 inbetween --model runs/demo --motion walk.npy --out joined",
    )
    parser.add_argument(
        "--to", type=user_path, metavar="FILE", help="the end is this file; --motion is one file, the beginning"
    )
    parser.add_argument(
        "--move-end", action="store_true", help="bring the end of --to to where the motion leads (default: it stays)"
    )
    parser.add_argument("--seconds", type=duration, help="length of the middle (default: as in the file)")
    add_arguments(parser, SHARE, "part of the file that is given at either end, at least half a second")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Joins, writes, and says where everything lies and how far it was bent."""
    if arguments.share is not None and not 0 < arguments.share < 0.5:
        raise UserError(f"--share {arguments.share:g}: give a part of the file, above 0 and below 0.5")
    if arguments.to and (len(arguments.motion) > 1 or arguments.seconds is None):
        raise UserError("with --to give one --motion, and --seconds for the time between the two")
    if arguments.to and arguments.protocol == "official":
        raise UserError("the official protocol fills the middle of one file; leave --to out")
    if arguments.to and arguments.share is not None:
        raise UserError("--share is a part of one file; with --to both files are given whole")
    if arguments.move_end and not arguments.to:
        raise UserError("--move-end brings the file of --to; the end of one file stays where it is")
    request = read_request(arguments, [arguments.to] if arguments.to else [])
    exact = arguments.protocol == "exact"
    results = exact_results(arguments, request) if exact else official_results(arguments, request, "inbetween")
    return write_answers(arguments, request, results, "Motions joined")


def exact_results(arguments: argparse.Namespace, request: Request) -> list[Result]:
    """Every gap filled, between the ends of a file or between two files."""

    def answer(seed: int, path: str, motion: Motion) -> Result:
        if not request.extra and arguments.seconds is None:
            require_result(path, motion)
        title, sides = Path(path).name, ends(path, motion, arguments.share or SHARE) if not request.extra else ()
        for other, end in request.extra:
            title, sides = f"{title} to {Path(other).name}", (motion, resample_motion(end, motion.fps))
        start, end = sides
        between = motion.frames - start.frames - end.frames
        if arguments.seconds is not None:
            between = round(arguments.seconds * motion.fps)
        whole, bends = request.model.inbetween(
            start, end, frames=between, seed=seed, move_end=arguments.move_end, **request.sampling
        )
        notes = [bend_note(bend) for bend in bends]
        record = {"motion": path, "seed": seed, "given": [start.frames, end.frames], "bent": notes}
        print(f"{title}: {notes[-1]}")
        return Result(whole, title, f"{between / motion.fps:.1f} s made; {notes[-1]}; seed {seed}", record)

    return answer_each(request, arguments.seed, answer)


def ends(path: str, motion: Motion, share: float) -> tuple[Motion, Motion]:
    """Beginning and end of a motion.

    Raises:
      UserError: nothing lies between them.
    """
    count = max(round(share * motion.frames), math.ceil(SHORTEST * motion.fps))
    if motion.frames <= 2 * count:
        raise UserError(f"{path} has {motion.frames} frames: nothing lies between the {count} given at either end")
    start, end = (replace(motion, joints=part) for part in (motion.joints[:, :count], motion.joints[:, -count:]))
    return start, end
