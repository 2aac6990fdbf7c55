"""Motions from sentences."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from motiongpt3_jax.commands.arguments import (
    add_model,
    add_sampling,
    command_parser,
    duration,
    load_model,
    motion_options,
    output_folder,
    user_path,
)
from motiongpt3_jax.commands.kinds import clean
from motiongpt3_jax.commands.results import Result, add_results, origin, write_results
from motiongpt3_jax.inference.lengths import Length
from motiongpt3_jax.inference.model import Model

SOURCES = {
    "asked": "as asked",
    "sentence": "predicted from the sentence",
    "training": "drawn from the lengths of the training clips",
    "config": "drawn between the lengths that its config names",
}


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = command_parser(
        "generate",
        "Motions from sentences: joints as .npy, a GIF or MP4 each, one page with all of them, and a manifest.",
        'motiongpt3 generate --model runs/demo --text "a person walks forward" --guidance 2 --out motions',
    )
    add_model(found)
    found.add_argument("--text", action="extend", nargs="+", default=[], help="sentences, each in quotes")
    found.add_argument("--file", type=user_path, help="a text file with a sentence a line")
    found.add_argument("--unconditional", action="store_true", help="motions of no sentence, --samples of them")
    length = found.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=duration, help="0.5 to 60 (default: predicted, or as in training)")
    length.add_argument("--frames", type=int, help="the same in frames, 20 a second")
    found.add_argument("--samples", type=int, default=1, help="motions per sentence (default: 1)")
    found.add_argument("--seed", type=int, default=0, help="motion n of the command has seed SEED + n")
    found.add_argument(
        "--style", default="train", choices=("train", "official_eval"), help="how sentences are prompted"
    )
    found.add_argument("--clean-feet", action="store_true", help="hold feet that slide over the floor where they stand")
    add_results(found)
    add_sampling(found)
    return found


def run(arguments: argparse.Namespace) -> None:
    """Generates, writes, and says where everything lies."""
    sentences = [""] if arguments.unconditional else read_sentences(arguments.text, arguments.file)
    if arguments.unconditional and (arguments.text or arguments.file):
        raise ValueError("--unconditional makes motions of no sentence; leave --text and --file out")
    if arguments.samples < 1:
        raise ValueError(f"--samples {arguments.samples}: ask for at least one motion a sentence")
    folder = output_folder(arguments.out)
    model = load_model(arguments)
    options = motion_options(arguments, model)
    wanted = [sentence for sentence in sentences for _ in range(arguments.samples)]
    lengths = asked_lengths(arguments, model, wanted)
    note_lengths(model, lengths)
    frames = [length.frames for length in lengths]
    motions = model.generate(wanted, frames=frames, seed=arguments.seed, style=arguments.style, **asdict(options))
    if arguments.clean_feet:
        motions = [clean(motion, f"motion_{number:03d}") for number, motion in enumerate(motions)]
    results = []
    for number, (sentence, length, motion) in enumerate(zip(wanted, lengths, motions)):
        said = {"text": sentence, "seed": arguments.seed + number, "length": SOURCES[length.source]}
        results.append(Result(motion, sentence or "no sentence", f"seed {arguments.seed + number}", said))
    said = origin(model, str(Path(arguments.model).resolve()), options) | {"style": arguments.style}
    write_results(folder, arguments, results, "Motions from sentences", said)
    seconds = spread([motion.seconds for motion in motions])
    print(f"{len(motions)} motions of {seconds} s in {folder}; open {folder / 'index.html'}")


def read_sentences(texts: list[str], file: str | None) -> list[str]:
    """The sentences given one by one and in a file.

    Raises:
      FileNotFoundError: the file is missing.
      ValueError: there is no sentence, or an empty one.
    """
    sentences = list(texts)
    if file is not None:
        path = Path(file)
        if not path.is_file():
            raise FileNotFoundError(f"--file {file}: there is no such file")
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"--file {file} is not UTF-8 text ({error.reason} at byte {error.start})") from None
        sentences += [line.strip() for line in lines if line.strip()]
    if not sentences:
        raise ValueError("no sentence was given; use --text or --file")
    if not all(sentence.strip() for sentence in sentences):
        raise ValueError("a sentence is empty; write what the motion should show")
    return sentences


def asked_lengths(arguments: argparse.Namespace, model: Model, sentences: Sequence[str]) -> list[Length]:
    """Frames of each motion: as asked, else as the model says.

    Raises:
      ValueError: a length is out of range.
    """
    if arguments.frames is None and arguments.seconds is None:
        lengths = model.lengths(sentences, seed=arguments.seed)
        for source in dict.fromkeys(length.source for length in lengths):
            seconds = spread([length.frames / model.fps for length in lengths if length.source == source])
            print(f"length: {seconds} s, {SOURCES[source]}", file=sys.stderr)
        return lengths
    frames, asked = arguments.frames, f"--frames {arguments.frames}"
    if frames is None:
        frames, asked = round(arguments.seconds * model.fps), f"--seconds {arguments.seconds:g}"
    low, high = model.frames
    if not low <= frames <= high:
        raise ValueError(
            f"{asked} is out of range: this model makes {low} to {high} frames, "
            f"{low / model.fps:g} to {high / model.fps:g} s"
        )
    return [Length(frames, "asked")] * len(sentences)


def note_lengths(model: Model, lengths: Sequence[Length]) -> None:
    """Says so when motions are shorter than any that the model saw, or are put together from windows."""
    data = model.engine.folder.config["data"]
    seconds = spread([count / model.fps for count in (data["min_frames"], data["max_frames"])])
    if any(length.frames < data["min_frames"] for length in lengths):
        print(f"note: this model saw motions of {seconds} s in training; shorter ones may look wrong", file=sys.stderr)
    if any(model.windows(length.frames).count > 1 for length in lengths):
        print(f"note: this model saw motions of {seconds} s in training; longer ones come in windows", file=sys.stderr)


def spread(seconds: Sequence[float]) -> str:
    """The shortest and the longest, as text."""
    return " to ".join(dict.fromkeys(f"{end:.1f}" for end in (min(seconds), max(seconds))))
