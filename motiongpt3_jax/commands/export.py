"""A model as a folder to share, or as a checkpoint of the official code."""

import argparse
import sys
from pathlib import Path

import numpy as np

from motiongpt3_jax.commands.arguments import add_model, command_parser, require_room, user_path
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.engine import make_system
from motiongpt3_jax.inference.exported import require_free, write_exported
from motiongpt3_jax.inference.folder import ModelFolder, read_folder, resolve_model
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.interop import to_official
from motiongpt3_jax.interop.checkpoint_files import import_torch, write_checkpoint
from motiongpt3_jax.interop.latents import OFFICIAL_SCALE, constant_moments, folded
from motiongpt3_jax.motion.saving import whole_file
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3Config

FOLDED = (
    "The latents of this model have measured moments, and the official code knows one constant "
    f"({OFFICIAL_SCALE}): they went into the weights. Text to motion and captions are the same there; encoding a "
    "motion and decoding it again, without the language model, is not."
)
FLOW = "note: this model is a rectified flow; the official code samples it as a diffusion, and would make noise of it"


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = command_parser(
        "export",
        "A model as a folder to share (safetensors: weights, config, tokenizer, statistics and a card), or as a "
        "checkpoint that the official code loads (pytorch), with the statistics that it reads from its data folder.",
        "motiongpt3 export --model runs/demo --format safetensors --out exported && hf upload USER/NAME exported",
    )
    add_model(found)
    found.add_argument("--format", required=True, choices=("safetensors", "pytorch"), help="kind of export")
    found.add_argument(
        "--out", type=user_path, required=True, metavar="PLACE", help="a folder, or for pytorch a file such as my.ckpt"
    )
    return found


def run(arguments: argparse.Namespace) -> None:
    """Reads the model, writes it, and says what was written."""
    out = require_free(arguments.out) if arguments.format == "safetensors" else require_file(arguments.out)
    require_room("--out", out, "a folder" if arguments.format == "safetensors" else "a file")
    folder = read_folder(resolve_model(arguments.model))
    config = make_system(folder).config
    stage, step, variables = read_variables(folder, config, "best" if arguments.best else "last")
    if arguments.format == "safetensors":
        write_exported(out, folder, to_official(variables.params, config), variables.state, (stage, step))
        return say_written(sorted(path for path in out.rglob("*") if path.is_file()))
    return say_written(write_pytorch(out, folder, config, variables))


def require_file(out: str) -> Path:
    """The file that a checkpoint may be written to.

    Raises:
      FileExistsError: a folder stands there.
      UserError: PyTorch is not installed.
    """
    if not out:
        raise UserError("--out is empty; give a file such as motiongpt3.ckpt")
    path = Path(out)
    if path.is_dir():
        raise FileExistsError(f"--out {out}: a folder stands there; give a file such as {path / 'motiongpt3.ckpt'}")
    import_torch()
    return path


def write_pytorch(out: Path, folder: ModelFolder, config: MotionGPT3Config, variables: Variables) -> list[Path]:
    """Writes a checkpoint of the official code, and beside it the Mean.npy and Std.npy of its data folder.

    Raises:
      UserError: the model cannot answer yet, or the official code cannot express its latents.
    """
    folder.require_trained()
    params = variables.params
    if not constant_moments(variables.state):
        params = folded(params, variables.state)
        print(FOLDED)
    if config.flow:
        print(FLOW, file=sys.stderr)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(out, to_official(params, config))
    written = [out]
    for name, array in (("Mean", folder.body.mean), ("Std", folder.body.std)):
        written.append(out.with_name(f"{out.stem}_{name}.npy"))
        with whole_file(written[-1], ".npy") as fresh:
            np.save(fresh, array)
    return written


def say_written(paths: list[Path]) -> None:
    """Prints files and their sizes."""
    for path in paths:
        print(f"{path.stat().st_size / 1e6:10.3f} MB  {path}")
