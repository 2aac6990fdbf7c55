"""A model as a folder to share, or as a checkpoint of the official code."""

import argparse
from pathlib import Path

from motiongpt3_jax.commands.arguments import add_model, command_parser
from motiongpt3_jax.inference.engine import make_system
from motiongpt3_jax.inference.exported import require_free, write_exported
from motiongpt3_jax.inference.folder import read_folder, resolve_model
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.interop import to_official


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = command_parser(
        "export",
        "A model as a folder to share (safetensors): weights, config, tokenizer, statistics and a card.",
        "motiongpt3 export --model runs/demo --format safetensors --out exported && hf upload USER/NAME exported",
    )
    add_model(found)
    found.add_argument("--format", required=True, choices=("safetensors",), help="kind of export")
    found.add_argument("--out", required=True, metavar="FOLDER", help="where it is written")
    return found


def run(arguments: argparse.Namespace) -> None:
    """Reads the model, writes it, and says what was written."""
    folder = read_folder(resolve_model(arguments.model))
    config = make_system(folder).config
    require_free(arguments.out)
    stage, step, variables = read_variables(folder, config, "best" if arguments.best else "last")
    write_exported(arguments.out, folder, to_official(variables.params, config), variables.state, (stage, step))
    say_written(sorted(path for path in Path(arguments.out).rglob("*") if path.is_file()))


def say_written(paths: list[Path]) -> None:
    """Prints files and their sizes."""
    for path in paths:
        print(f"{path.stat().st_size / 1e6:10.3f} MB  {path}")
