"""Motion prediction: goes on from the beginning of a motion file."""

import argparse
import math
from dataclasses import replace
from pathlib import Path

from motiongpt3_jax.commands.arguments import command_parser, duration, integer
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

SHARE = 0.2
"""Part of a file that is given, as in training."""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = command_parser(
        "predict",
        "Goes on from the beginning of each motion file. The given frames stay as they are, to the bit, and the result "
        "has the file's own place, proportions and frame rate.",
        "motiongpt3 predict --model runs/demo --motion walk.bvh --share 1 --seconds 6 --out predicted",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--seconds", type=duration, help="length of the result, the given part included (default: the file's)"
    )
    length.add_argument("--frames", type=integer, help="the same in frames of the file")
    add_arguments(parser, SHARE, "part of the file that is given, at least half a second")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Predicts, writes, and says where everything lies."""
    if arguments.share is not None and not 0 < arguments.share <= 1:
        raise UserError(f"--share {arguments.share:g}: give a part of the file, above 0 and up to 1")
    request = read_request(arguments)
    exact = arguments.protocol == "exact"
    results = exact_results(arguments, request) if exact else official_results(arguments, request, "predict")
    return write_answers(arguments, request, results, "Motions that go on")


def exact_results(arguments: argparse.Namespace, request: Request) -> list[Result]:
    """Every motion gone on with from its given part.

    Raises:
      UserError: no frame is asked for beyond the given ones.
    """

    def answer(seed: int, path: str, motion: Motion) -> Result:
        count, frames = count_frames(arguments, path, motion)
        part = replace(motion, joints=motion.joints[:, :count])
        whole, bends = request.model.predict(part, frames=frames, seed=seed, **request.sampling)
        record = {"motion": path, "seed": seed, "given": count, "bent": [bend_note(bend) for bend in bends]}
        return Result(whole, Path(path).name, f"{count / motion.fps:.1f} s given, seed {seed}", record)

    return answer_each(request, arguments.seed, answer)


def count_frames(arguments: argparse.Namespace, path: str, motion: Motion) -> tuple[int, int]:
    """How many frames of a motion are given, and how many the result has.

    Raises:
      UserError: no frame is asked for beyond the given ones, or too many are.
    """
    least = math.ceil(SHORTEST * motion.fps)
    count = max(round((arguments.share or SHARE) * motion.frames), min(least, motion.frames))
    if arguments.frames is None and arguments.seconds is None:
        require_result(path, motion)
    frames = motion.frames if arguments.frames is None else arguments.frames
    if arguments.seconds is not None:
        frames = round(arguments.seconds * motion.fps)
    if frames <= count:
        raise UserError(
            f"{path} has {motion.frames} frames, of which {count} are given and {frames} are asked for: "
            "ask for more with --seconds, or give less with --share"
        )
    return count, frames
