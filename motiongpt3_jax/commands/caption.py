"""Motion captioning: sentences from motion files."""

import argparse
import json

from motiongpt3_jax.commands.arguments import (
    add_decoding,
    add_mesh,
    add_model,
    add_style,
    command_parser,
    decoding,
    integer,
    load_model,
    number,
    output_file,
    user_path,
)
from motiongpt3_jax.commands.motions import add_motions, note_persons, read_usable
from motiongpt3_jax.inference.clips import require_readable
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.motion.saving import whole_file


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = command_parser(
        "caption",
        "A sentence for each motion file: .npy or .npz of joints, .npy of features, or .bvh; of both people, where the "
        "file has two and the model knows two.",
        "motiongpt3 caption --model runs/demo --motion motions/motion_000.npy",
    )
    add_model(parser)
    add_mesh(parser)
    add_motions(parser)
    parser.add_argument("--fps", type=number, help="frames a second of files that do not say (default: the data set's)")
    add_style(parser)
    parser.add_argument("--seed", type=integer, default=0, help="of drawn sentences (default: 0)")
    parser.add_argument("--json", type=user_path, metavar="FILE", help="also write the captions to this file")
    add_decoding(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Reads the motions and prints a line each, or a line for each part of a motion that is read in parts."""
    options, written = decoding(arguments), output_file("--json", arguments.json)
    model = load_model(arguments)
    model.text_options(**options)  # what is wrong with them is said before files are read
    statistics = model.engine.folder.statistics

    def check(path: str, motion: Motion) -> None:
        require_readable(motion, statistics, f"motion '{path}'")

    how = {"mapping": arguments.mapping, "file_fps": arguments.fps, "statistics": statistics}
    motions, skipped_files = read_usable(arguments.motion, check, start=arguments.start, stop=arguments.stop, **how)
    if model.engine.answers.capabilities.persons < 2:
        note_persons(dict(motions))
    sentences = model.captions_in_time(
        [motion for _, motion in motions], seed=arguments.seed, style=arguments.style, **options
    )
    for (path, _), parts in zip(motions, sentences):
        name = f"{path}: " if skipped_files.files > 1 else ""
        for start, stop, sentence in parts:
            time = f"{start:.1f} to {stop:.1f} s: " if len(parts) > 1 else ""
            print(f"{name}{time}{sentence}")
    if written:
        captions = {path: parts[0][2] if len(parts) == 1 else parts for (path, _), parts in zip(motions, sentences)}
        with whole_file(written, written.suffix) as fresh:
            fresh.write_text(json.dumps(captions, indent=1) + "\n", encoding="utf-8")
    return skipped_files.status
