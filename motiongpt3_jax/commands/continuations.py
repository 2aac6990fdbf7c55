"""Arguments, inputs and outputs that `predict` and `inbetween` share: motion files, of which a part is given."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from motiongpt3_jax.commands.arguments import (
    add_mesh,
    add_model,
    add_sampling,
    integer,
    load_model,
    number,
    output_folder,
    sampling,
)
from motiongpt3_jax.commands.motions import SkippedFiles, add_motions, note_persons, read_motions, read_usable
from motiongpt3_jax.commands.results import Result, add_results, origin, write_results
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.clips import require_skeleton
from motiongpt3_jax.inference.lengths import LONGEST_SECONDS
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.motion import Motion

Task = Literal["predict", "inbetween"]


@dataclass(frozen=True)
class Request:
    """A command's model, its options and the motions to continue.

    Attributes:
      folder: for the results.
      model: who answers.
      options: how it samples.
      motions: (file, motion) in the order asked for.
      extra: (file, motion) beside them.
      skipped_files: those that cannot be used.
    """

    folder: Path
    model: Model
    options: Any
    motions: Sequence[tuple[str, Motion]]
    extra: Sequence[tuple[str, Motion]]
    skipped_files: SkippedFiles

    @property
    def sampling(self) -> dict[str, Any]:
        """The options as keywords."""
        return asdict(self.options)


def require_result(path: str, motion: Motion) -> None:
    """Raises UserError when a file lasts longer than results may."""
    if motion.seconds > LONGEST_SECONDS:
        raise UserError(
            f"{path} lasts {motion.seconds:.0f} s, and results last {LONGEST_SECONDS:.0f} s at most: "
            "ask for a length with --seconds, or give a shorter file"
        )


def add_arguments(parser: argparse.ArgumentParser, share: float, share_help: str) -> None:
    """Adds the motions, the share of each that is given, and how the task is run."""
    add_model(parser)
    add_mesh(parser)
    add_motions(parser)
    parser.add_argument("--fps", type=number, help="frames a second of files that do not say (default: the data set's)")
    parser.add_argument("--share", type=number, help=f"{share_help} (default: {share:g})")
    parser.add_argument("--samples", type=integer, default=1, help="results per file (default: 1)")
    parser.add_argument("--seed", type=integer, default=0, help="result n of the command has seed SEED + n")
    parser.add_argument(
        "--protocol",
        default="exact",
        choices=("exact", "official"),
        help="official: as the published evaluation runs it, the whole motion in the model's own place and proportions",
    )
    add_results(parser)
    add_sampling(parser)


def read_request(arguments: argparse.Namespace, extra: Sequence[str] = ()) -> Request:
    """Loads the model and reads the files.

    Raises:
      UserError: less than one result is asked for, or a file is none.
    """
    if arguments.protocol == "official":
        for name in ("share", "seconds", "frames"):
            if getattr(arguments, name, None) is not None:
                raise UserError(f"the official protocol has its own parts and lengths; leave --{name} out")
    if arguments.samples < 1:
        raise UserError(f"--samples {arguments.samples}: ask for at least one result a file")
    folder = output_folder(arguments.out)
    model = load_model(arguments)
    options = model.motion_options(**sampling(arguments))
    statistics = model.engine.folder.statistics
    how = {"mapping": arguments.mapping, "file_fps": arguments.fps, "statistics": statistics}
    motions, skipped_files = read_usable(
        arguments.motion,
        lambda path, motion: require_skeleton(motion, statistics, f"motion '{path}'"),
        start=arguments.start,
        stop=arguments.stop,
        **how,
    )
    others = list(zip(extra, read_motions(extra, **how)))
    return Request(
        folder, model, options, [pair for pair in motions for _ in range(arguments.samples)], others, skipped_files
    )


def answer_each(request: Request, first_seed: int, answer: Callable[[int, str, Motion], Result]) -> list[Result]:
    """What `answer` makes of each seed, file and motion; a file of which it makes none is said and left out.

    Raises:
      UserError: nothing is left.
    """
    results = []
    for seed, (path, motion) in enumerate(request.motions, start=first_seed):
        with request.skipped_files.skip_if_unusable(path):
            results.append(answer(seed, path, motion))
    return results


def official_results(arguments: argparse.Namespace, request: Request, task: Task) -> list[Result]:
    """The official protocol's answers."""
    motions = [motion for _, motion in request.motions]
    note_persons(dict(request.motions))
    answers = request.model.official(task, motions, seed=arguments.seed, **request.sampling)
    return [
        Result(motion, Path(path).name, f"official, seed {seed}", {"motion": path, "seed": seed})
        for seed, ((path, _), motion) in enumerate(zip(request.motions, answers), start=arguments.seed)
    ]


def write_answers(arguments: argparse.Namespace, request: Request, results: Sequence[Result], page: str) -> int:
    """Writes the results and says where they lie; returns the exit status."""
    record = origin(request.model, arguments.model, request.options) | {"protocol": arguments.protocol}
    write_results(request.folder, arguments, results, page, record)
    print(f"{len(results)} motions in {request.folder}; open {request.folder / 'index.html'}")
    return request.skipped_files.status
