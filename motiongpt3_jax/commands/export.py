"""A model as a folder to share, or as a checkpoint of the official code."""

import argparse
import sys
from pathlib import Path

from motiongpt3_jax.commands.arguments import add_model, command_parser, user_path
from motiongpt3_jax.interop.export_model import export_model


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = command_parser(
        "export",
        "A model as a folder to share (safetensors: weights, config, tokenizer, statistics and a card), or as a "
        "checkpoint that the official code loads (pytorch), with the statistics that it reads from its data folder; or "
        "one of its LoRA adapters for the library PEFT (peft).",
        "motiongpt3 export --model runs/demo --format safetensors --out exported && hf upload USER/NAME exported",
    )
    add_model(parser)
    parser.add_argument("--format", required=True, help="safetensors, pytorch for the official code, or peft")
    parser.add_argument(
        "--out", type=user_path, required=True, metavar="PLACE", help="a folder, or for pytorch a file such as my.ckpt"
    )
    parser.add_argument(
        "--adapter",
        default="",
        metavar="NAME",
        help="a LoRA adapter of the model: the one for peft; for the others one to merge into the weights, which then "
        "have none",
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Writes the model, and says what was written."""
    which = "best" if arguments.best else "last"
    result = export_model(arguments.model, arguments.out, arguments.format, which, arguments.adapter)
    for note in result.notes:
        print(note, file=sys.stderr if note.startswith("note:") else sys.stdout)
    print_files(result.files)


def print_files(paths: list[Path]) -> None:
    """Prints files and their sizes."""
    for path in paths:
        print(f"{path.stat().st_size / 1e6:10.3f} MB  {path}")
