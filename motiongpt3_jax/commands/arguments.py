"""Argument parsing that several commands share: argparse types, groups of options, and their checks."""

import argparse
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.engine import check_seeds, make_system
from motiongpt3_jax.inference.folder import read_folder, resolve_model
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.mirror import is_remote
from motiongpt3_jax.models.token_sampling import TextOptions
from motiongpt3_jax.motion.lfs import refuse_lfs_pointer
from motiongpt3_jax.parallel import keep_host_memory
from motiongpt3_jax.places import require_room

MOST = {"samples": 10**5, "beams": 10**3, "max_tokens": 10**6, "memory": 10**4}
"""The largest value of arguments that decide how long a command takes."""


LIMITS = {"steps": (1, 10**4), "eta": (0, 1), "guidance": (0, 1000)}
"""Smallest and largest value of arguments that no system takes beyond them."""


TRAIN = "train"
"""The style of prompts that the model was trained with."""


class _OverridingParser(argparse.ArgumentParser):
    """Takes `--config.key=value` beside its own arguments."""

    def parse_args(self, arguments: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:
        parsed, rest = self.parse_known_args(arguments, namespace)
        parsed.overrides = split_overrides(rest)
        return parsed


def user_path(text: str) -> str:
    """A path, or a hub name, as an argument: `~` and `~user` become the folders that they stand for.

    Shells do so where it stands alone, and not behind `=`.
    """
    if "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} holds a NUL, which no path does")
    if is_remote(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} lies on a remote store; only --workdir of train, --model, config.start and built clips of "
            "config.data.path may: give a local path"
        )
    expanded = os.path.expanduser(text)
    if expanded == text and text.startswith("~"):
        home = text.split("/")[0]
        raise argparse.ArgumentTypeError(
            f"{text!r}: no home folder is known for {home}; write ./{home} for a folder of that name"
        )
    return expanded


def store_path(text: str) -> str:
    """A path as an argument, or the address of a folder on a remote store."""
    return text if is_remote(text) else user_path(text)


def integer(text: str) -> int:
    """A whole number as an argument, written in plain digits."""
    if not re.fullmatch(r"[+-]?[0-9]{1,40}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def number(text: str) -> float:
    """A finite number as an argument, written in plain digits."""
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", text) or math.isinf(float(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return float(text)


def named_value(text: str) -> tuple[str, bool | int | float | str]:
    """`NAME=VALUE` as an argument; the value is a number, true or false where it reads as one, else a word."""
    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    if value in ("true", "false"):
        return name, value == "true"
    for read in (integer, number):
        try:
            return name, read(value)
        except argparse.ArgumentTypeError:
            continue
    return name, value


def command_parser(
    name: str, about: str, example: str, overrides: bool = False, end: str = ""
) -> argparse.ArgumentParser:
    """A subcommand's parser, whose help ends with an example, and then with `end`.

    With `overrides` it takes `--config.key=value`.
    """
    parser = (_OverridingParser if overrides else argparse.ArgumentParser)(
        prog=f"motiongpt3 {name}",
        description=about,
        epilog=f"example:\n  {example}" + f"\n\n{end}" * bool(end),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if overrides:
        # Shown in the help; the values themselves are taken from what the parser does not know.
        parser.add_argument("--config.KEY=VALUE", dest="_", action="store_true", help="another value of the config")
    return parser


def add_model(parser: argparse.ArgumentParser) -> None:
    """The model to use."""
    parser.add_argument(
        "--model", type=store_path, required=True, metavar="RUN", help="folder of a run, or of an exported model"
    )
    parser.add_argument("--best", action="store_true", help="take the best checkpoint instead of the last")


def text_lines(option: str, file: str) -> list[str]:
    """The lines of an option's text file that hold something.

    Raises:
      FileNotFoundError: there is no such file.
      UserError: it is not text, or holds nothing.
    """
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"{option} {file}: there is no such file")
    refuse_lfs_pointer(path, f"{option} {file}")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{option} {file} is not UTF-8 text ({error.reason} at byte {error.start})") from None
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise UserError(f"{option} {file} holds no sentence; write one a line")
    return lines


def keep_compiled_programs() -> None:
    """Turns on JAX's persistent compilation cache, in the user's cache folder unless JAX knows of another one."""
    if jax.config.jax_compilation_cache_dir is None:
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(os.path.expanduser(home)) / "motiongpt3_jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def load_model(arguments: argparse.Namespace) -> Model:
    """The model that `add_model`'s arguments ask for; its programs are kept from one command to the next.

    What is wrong with the other arguments is said first: a large model takes a while.

    Raises:
      UserError: an argument has no such value, or the model is damaged.
      FileNotFoundError: there is no such model.
    """
    check_answers(arguments)
    keep_host_memory()
    options, style = sampling(arguments), getattr(arguments, "style", TRAIN)
    folder = read_folder(resolve_model(arguments.model)) if options or style != TRAIN else None
    if folder and style not in (TRAIN, *folder.kind.styles):
        raise UserError(f"--style {style}: this model has the styles {', '.join((TRAIN, *folder.kind.styles))}")
    if folder and options:
        folder.kind.make_answers(folder.spec, make_system(folder)).motion_options(**options)
    keep_compiled_programs()
    return Model.load(arguments.model, "best" if arguments.best else "last")


def add_style(parser: argparse.ArgumentParser) -> None:
    """How a model is prompted."""
    parser.add_argument(
        "--style",
        default=TRAIN,
        help="how the model is prompted: as in training (train, the default), or as the evaluation of its system's "
        "official code does (official_eval)",
    )


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """How motions are sampled."""
    group = parser.add_argument_group("sampling")
    group.add_argument(
        "--sampler",
        choices=("dpm++", "ddim", "ancestral", "euler"),
        help="default: dpm++, or euler for a model trained as a rectified flow",
    )
    group.add_argument("--steps", type=integer, help="denoising steps (default: 20)")
    group.add_argument("--eta", type=number, help="fresh noise of ddim steps, 0 to 1 (default: 0)")
    group.add_argument("--guidance", type=number, help="guidance scale; 1 is none (default: 3)")
    group.add_argument(
        "--sampling",
        type=named_value,
        nargs="+",
        action="extend",
        metavar="NAME=VALUE",
        help="any option that the model's system has, such as temperature=0.9",
    )


SAMPLING = {"sampler": "sampler", "steps": "steps", "eta": "eta", "guidance": "guidance_scale"}
"""Options of a system by the arguments that set them."""


def sampling(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of sampling that the arguments set; others are the system's own."""
    values = {option: getattr(arguments, name, None) for name, option in SAMPLING.items()}
    values |= dict(getattr(arguments, "sampling", None) or ())
    return {option: value for option, value in values.items() if value is not None}


def add_decoding(parser: argparse.ArgumentParser) -> None:
    """How text is decoded."""
    group = parser.add_argument_group("decoding")
    group.add_argument("--max-tokens", type=integer, default=40, help="longest text, in tokens (default: 40)")
    group.add_argument("--temperature", type=number, default=0.0, help="0 takes the best token each time (default: 0)")
    group.add_argument("--top-k", type=integer, default=0, help="draw from this many best tokens; 0 is no limit")
    group.add_argument("--top-p", type=number, default=1.0, help="draw from the best tokens of this share (default: 1)")
    group.add_argument("--repetition-penalty", type=number, default=1.1, help="of written tokens (default: 1.1)")
    group.add_argument("--beams", type=integer, default=1, help="texts that are followed at once (default: 1)")


def decoding(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of `TextOptions` that the arguments set."""
    if arguments.max_tokens < 1:
        raise UserError(f"--max-tokens {arguments.max_tokens}: ask for at least one")
    names = ("temperature", "top_k", "top_p", "repetition_penalty", "beams")
    return {"max_new": arguments.max_tokens} | {name: getattr(arguments, name) for name in names}


def check_answers(arguments: argparse.Namespace) -> None:
    """Raises UserError when arguments of `add_sampling`, `add_decoding` or a seed have no such value for any model."""
    values = vars(arguments)
    for name, most in MOST.items():
        if (values.get(name) or 0) > most:
            raise UserError(f"--{name.replace('_', '-')} {values[name]}: {most} are the most; ask for fewer")
    for name, (least, most) in LIMITS.items():
        if values.get(name) is not None and not least <= values[name] <= most:
            raise UserError(f"--{name} {values[name]}: give a number from {least} to {most}")
    if "beams" in values:
        TextOptions(end=0, **decoding(arguments))
    if "seed" in values:
        check_seeds([values["seed"]])


def split_overrides(unknown: list[str]) -> list[str]:
    """`--config.key=value` arguments as `key=value`.

    Raises:
      UserError: an argument is none.
    """
    for argument in unknown:
        if not argument.startswith("--config."):
            raise UserError(f"unknown argument {argument!r}; values of the config are set as --config.KEY=VALUE")
    return [argument.removeprefix("--config.") for argument in unknown]


def output_folder(path: str) -> Path:
    """A folder for results, to be made when there are any.

    Raises:
      NotADirectoryError: a file stands there, or on the way there.
      PermissionError: nothing may be written there.
      UserError: the path is empty.
    """
    if not path:
        raise UserError("--out is empty; give a folder")
    folder = Path(path)
    require_room("--out", folder, "a folder")
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"--out {path}: a file stands there; give a folder")
    return folder


def output_file(name: str, path: str | None) -> Path | None:
    """A file for results, checked before there are any; nothing is made yet.

    Raises:
      OSError: no file can be written there.
    """
    if path is None:
        return None
    file = Path(path)
    require_room(name, file, "a file")
    if file.is_dir():
        raise IsADirectoryError(f"{name} {path}: a folder stands there; give a file")
    return file


def duration(text: str) -> float:
    """Seconds as an argument."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no length; give seconds above 0")
    return seconds
