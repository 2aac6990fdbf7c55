"""Text to motion: motions from sentences."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from motiongpt3_jax.commands.arguments import (
    add_mesh,
    add_model,
    add_sampling,
    add_style,
    command_parser,
    duration,
    integer,
    load_model,
    output_folder,
    sampling,
    text_lines,
    user_path,
)
from motiongpt3_jax.commands.cleaning import clean
from motiongpt3_jax.commands.motions import note_persons, read_motions
from motiongpt3_jax.commands.notes import hint_quotes
from motiongpt3_jax.commands.results import Result, add_results, origin, unknown_note, write_results
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.lengths import Length, check_length_choosable
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.motion import Motion
from motiongpt3_jax.text.prompt_files import Prompt, split_marks

SOURCES = {
    "asked": "as asked",
    "sentence": "predicted from the sentence",
    "training": "drawn from the lengths of the training clips",
    "config": "drawn between the lengths that its config names",
    "model": "as the model ended it",
    "given": "as the given motion",
}


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = command_parser(
        "generate",
        "Motions from sentences: joints as .npy, a GIF or MP4 each, one page with all of them, and a manifest.",
        'motiongpt3 generate --model runs/demo --text "a person walks forward" --guidance 2 --out motions',
    )
    add_model(parser)
    add_mesh(parser)
    parser.add_argument("--text", action="extend", nargs="+", default=[], help="sentences, each in quotes")
    parser.add_argument(
        "--file",
        type=user_path,
        help="a text file with a sentence a line; lengths in frames are taken, as in walk#120",
    )
    parser.add_argument("--unconditional", action="store_true", help="motions of no sentence, --samples of them")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=duration, help="0.5 to 60 (default: predicted, or as in training)")
    length.add_argument("--frames", type=integer, help="the same in frames, 20 a second")
    parser.add_argument("--samples", type=integer, default=1, help="motions per sentence (default: 1)")
    parser.add_argument("--seed", type=integer, default=0, help="motion n of the command has seed SEED + n")
    parser.add_argument(
        "--persons", type=integer, help="how many move in each motion, 1 or 2 (default: as many as the model makes)"
    )
    parser.add_argument(
        "--react-to",
        type=user_path,
        metavar="FILE",
        help="a motion file whose first person stays as it is; a second one is made that reacts to it, with sentences "
        'about both ("the second person pushes the first") or without',
    )
    add_style(parser)
    parser.add_argument(
        "--clean-feet", action="store_true", help="hold feet that slide over the floor where they stand"
    )
    add_results(parser)
    add_sampling(parser)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Generates, writes, and says where everything lies."""
    check_persons(arguments)
    no_sentence = arguments.unconditional or (arguments.react_to and not arguments.text and not arguments.file)
    prompts = [Prompt("")] if no_sentence else read_prompts(arguments.text, arguments.file)
    if arguments.unconditional and (arguments.text or arguments.file):
        raise UserError("--unconditional makes motions of no sentence; leave --text and --file out")
    if arguments.samples < 1:
        raise UserError(f"--samples {arguments.samples}: ask for at least one motion a sentence")
    hint_quotes(arguments.text, "--text ")
    folder = output_folder(arguments.out)
    model = load_model(arguments)
    options = model.motion_options(**sampling(arguments))
    rewritten = (
        rewrite_as_captions(model, [prompt.sentence for prompt in prompts]) if arguments.style == "train" else {}
    )
    requests = [prompt for prompt in prompts for _ in range(arguments.samples)]
    sentences = [prompt.sentence for prompt in requests]
    if arguments.react_to:
        motions, lengths = reactions(arguments, model, sentences, options)
    else:
        lengths = choose_lengths(arguments, model, requests)
        note_lengths(model, lengths)
        frames = [length.frames for length in lengths]
        motions = model.generate(
            sentences,
            frames=frames if any(frames) else None,
            seed=arguments.seed,
            style=arguments.style,
            persons=arguments.persons,
            **asdict(options),
        )
    if arguments.clean_feet:
        motions = [clean(motion, f"motion_{number:03d}") for number, motion in enumerate(motions)]
    results = []
    for seed, (sentence, length, motion) in enumerate(zip(sentences, lengths, motions), start=arguments.seed):
        record = {"text": sentence, "seed": seed, "length": SOURCES[length.source]}
        unknown = model.unknown_words(sentence)
        record |= {"unknown_words": unknown} if unknown else {}
        record |= {"read_as": rewritten[sentence]} if sentence in rewritten else {}
        note = f"seed {seed}, {motion.seconds:.1f} s {SOURCES[length.source]}"
        results.append(Result(motion, sentence or "no sentence", note, record, unknown_note(unknown)))
    record = origin(model, str(Path(arguments.model).resolve()), options) | {"style": arguments.style}
    record |= {"react_to": arguments.react_to} if arguments.react_to else {}
    write_results(folder, arguments, results, "Motions from sentences", record)
    seconds = spread([motion.seconds for motion in motions])
    print(f"{len(motions)} motions of {seconds} s in {folder}; open {folder / 'index.html'}")


def check_persons(arguments: argparse.Namespace) -> None:
    """Raises UserError when flags about two people do not go together."""
    if arguments.persons not in (None, 1, 2):
        raise UserError(f"--persons {arguments.persons}: motions of 1 or of 2 are made")
    if arguments.react_to and arguments.persons == 1:
        raise UserError("--react-to makes a second person; leave --persons 1 out")
    if arguments.react_to and (arguments.seconds is not None or arguments.frames is not None):
        raise UserError("--react-to makes a motion as long as the given one; leave --seconds and --frames out")


def reactions(
    arguments: argparse.Namespace, model: Model, sentences: Sequence[str], options: Any
) -> tuple[list[Motion], list[Length]]:
    """The given person with another one for each sentence, and how long each is."""
    (first_person,) = read_motions([arguments.react_to], statistics=model.engine.folder.statistics)
    note_persons({arguments.react_to: first_person})
    motions = [
        model.react(first_person, sentence, seed=arguments.seed + number, **asdict(options))
        for number, sentence in enumerate(sentences)
    ]
    return motions, [Length(motion.frames, "given") for motion in motions]


def read_prompts(texts: list[str], file: str | None) -> list[Prompt]:
    """The sentences given one by one and in a file, with the lengths that are marked there.

    Raises:
      FileNotFoundError: the file is missing.
      UserError: there is no sentence, or an empty one.
    """
    prompts = [Prompt(sentence) for sentence in texts]
    if file is not None:
        prompts += split_marks(text_lines("--file", file))
    if not prompts:
        raise UserError("no sentence was given; use --text or --file")
    if not all(prompt.sentence.strip() for prompt in prompts):
        raise UserError("a sentence of --text or --file is empty; write what the motion should show")
    return prompts


def choose_lengths(arguments: argparse.Namespace, model: Model, prompts: Sequence[Prompt]) -> list[Length]:
    """Frames of each motion: as asked, else as its file says, else as the model says.

    Raises:
      UserError: a length is out of range.
    """
    capabilities = model.engine.answers.capabilities
    for name in ("seconds", "frames"):
        if getattr(arguments, name) is not None:
            check_length_choosable(capabilities, f"--{name} {getattr(arguments, name):g} was")
    if arguments.frames is None and arguments.seconds is None:
        lengths = model.lengths([prompt.sentence for prompt in prompts], seed=arguments.seed)
        if not capabilities.takes_length:
            if any(prompt.frames is not None for prompt in prompts):
                print(f"{arguments.file} marks lengths, and this model ends its motions itself", file=sys.stderr)
            return lengths
        for number, (sentence, frames) in enumerate(prompts):
            if frames is not None:
                lengths[number] = Length(
                    in_range(model, frames, f"'{sentence}' in {arguments.file}: {frames}"), "asked"
                )
        marked = sum(prompt.frames is not None for prompt in prompts)
        if marked:
            print(f"{arguments.file} marks lengths in frames, which {marked} of the motions get", file=sys.stderr)
        for source in dict.fromkeys(length.source for length in lengths if length.source != "model"):
            seconds = spread([length.frames / model.fps for length in lengths if length.source == source])
            print(f"length: {seconds} s, {SOURCES[source]}", file=sys.stderr)
        return lengths
    frames, what = arguments.frames, f"--frames {arguments.frames}"
    if frames is None:
        frames, what = round(arguments.seconds * model.fps), f"--seconds {arguments.seconds:g}"
    return [Length(in_range(model, frames, what), "asked")] * len(prompts)


def in_range(model: Model, frames: int, what: str) -> int:
    """Checks that the model can make a length, which errors call `what`; returns it.

    Raises:
      UserError: it is too short or too long.
    """
    low, high = model.frames
    if not low <= frames <= high:
        raise UserError(
            f"{what} is out of range: this model makes {low} to {high} frames, "
            f"{low / model.fps:g} to {high / model.fps:g} s"
        )
    return frames


def note_lengths(model: Model, lengths: Sequence[Length]) -> None:
    """Says so when motions are shorter than any that the model saw, or are put together from windows."""
    least, most = model.engine.folder.training_frames
    lengths = [length for length in lengths if length.source != "model"]
    seconds = spread([count / model.fps for count in (least, most)])
    if any(length.frames < least for length in lengths):
        print(f"note: this model saw motions of {seconds} s in training; shorter ones may look wrong", file=sys.stderr)
    if any(model.windows(length.frames).count > 1 for length in lengths):
        print(f"note: this model saw motions of {seconds} s in training; longer ones come in windows", file=sys.stderr)


def rewrite_as_captions(model: Model, sentences: Sequence[str]) -> dict[str, str]:
    """The sentences that a model is given as its captions are written, and how; says so."""
    changed = {sentence: written for sentence in sentences if (written := model.written(sentence)) != sentence}
    for sentence, written in list(changed.items())[:1]:
        more = f", and {len(changed) - 1} more likewise" if len(changed) > 1 else ""
        print(f'note: "{sentence}" is read as "{written}", as training captions are written{more}', file=sys.stderr)
    return changed


def spread(seconds: Sequence[float]) -> str:
    """The shortest and the longest, as text."""
    return " to ".join(dict.fromkeys(f"{end:.1f}" for end in (min(seconds), max(seconds))))
