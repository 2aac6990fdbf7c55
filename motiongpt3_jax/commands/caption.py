"""Sentences from motions."""

import argparse
import json

from motiongpt3_jax.commands.arguments import add_model, command_parser
from motiongpt3_jax.inference.engine import Engine
from motiongpt3_jax.motion import load_motion


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = command_parser(
        "caption",
        "A sentence for each motion file (.npy or .npz of joints, or of raw features).",
        "motiongpt3 caption --model runs/demo --motion motions/motion_000.npy",
    )
    add_model(found)
    found.add_argument("--motion", nargs="+", required=True, metavar="FILE", help="motion files")
    found.add_argument("--fps", type=float, help="frames a second of files that do not say (default: the data set's)")
    found.add_argument("--max-tokens", type=int, default=40, help="longest caption, in tokens (default: 40)")
    styles = ("train", "official_eval", "official_eval_length")
    found.add_argument("--style", default="train", choices=styles, help="how the model is prompted")
    found.add_argument("--json", metavar="FILE", help="also write the captions to this file")
    return found


def run(arguments: argparse.Namespace) -> None:
    """Reads the motions and prints a line each."""
    if arguments.max_tokens < 1:
        raise ValueError(f"--max-tokens {arguments.max_tokens}: ask for at least one")
    motions = [load_motion(path, file_fps=arguments.fps) for path in arguments.motion]
    engine = Engine.load(arguments.model, "best" if arguments.best else "last")
    clips = [engine.features_of(motion) for motion in motions]
    for path, clip in zip(arguments.motion, clips):
        if not len(clip):
            raise ValueError(f"motion '{path}' has a single frame; a caption needs at least two")
    captions = engine.caption(clips, arguments.max_tokens, arguments.style)
    for path, caption in zip(arguments.motion, captions):
        print(f"{path}: {caption}" if len(captions) > 1 else caption)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(dict(zip(arguments.motion, captions)), file, indent=1)
