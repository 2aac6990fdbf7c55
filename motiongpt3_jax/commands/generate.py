"""Motions from sentences."""

import argparse
import json
import sys
from pathlib import Path

from motiongpt3_jax.commands.arguments import add_model, add_sampling, command_parser, motion_options, output_folder
from motiongpt3_jax.inference.engine import Engine
from motiongpt3_jax.motion import Motion, save_motion
from motiongpt3_jax.motion.pictures import Entry, write_gif, write_mp4, write_page

PICTURES = {"gif": write_gif, "mp4": write_mp4}


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = command_parser(
        "generate",
        "Motions from sentences: joints as .npy, a GIF or MP4 each, one page with all of them, and a manifest.",
        'motiongpt3 generate --model runs/demo --text "a person walks forward" --guidance 2 --out motions',
    )
    add_model(found)
    found.add_argument("--text", action="append", default=[], help="a sentence; may be given several times")
    found.add_argument("--file", help="a text file with a sentence a line")
    length = found.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, help="0.5 to 9.8 (default: the model's usual length)")
    length.add_argument("--frames", type=int, help="the same in frames, 20 a second")
    found.add_argument("--samples", type=int, default=1, help="motions per sentence (default: 1)")
    found.add_argument("--seed", type=int, default=0, help="motion n of the command has seed SEED + n")
    found.add_argument(
        "--style", default="train", choices=("train", "official_eval"), help="how sentences are prompted"
    )
    found.add_argument("--format", default="gif", choices=(*PICTURES, "none"), help="kind of picture (default: gif)")
    found.add_argument("--out", required=True, help="folder for the results")
    add_sampling(found)
    return found


def run(arguments: argparse.Namespace) -> None:
    """Generates, writes, and says where everything lies."""
    sentences = read_sentences(arguments.text, arguments.file)
    if arguments.samples < 1:
        raise ValueError(f"--samples {arguments.samples}: ask for at least one motion a sentence")
    engine = Engine.load(arguments.model, "best" if arguments.best else "last")
    options = motion_options(arguments, engine)
    frames = asked_frames(arguments, engine)
    trained = [engine.folder.config["data"][name] for name in ("min_frames", "max_frames")]
    if not trained[0] <= frames <= trained[1]:
        seconds = " to ".join(dict.fromkeys(f"{count / engine.folder.body.fps:.1f}" for count in trained))
        print(f"note: this model saw motions of {seconds} s in training; others may look wrong", file=sys.stderr)
    folder = output_folder(arguments.out)
    wanted = [sentence for sentence in sentences for _ in range(arguments.samples)]
    seeds = [arguments.seed + n for n in range(len(wanted))]
    joints = engine.generate(wanted, [frames] * len(wanted), seeds, options, arguments.style)
    body = engine.folder.body
    entries, manifest = [], []
    for number, (sentence, seed, places) in enumerate(zip(wanted, seeds, joints)):
        motion = Motion(places[None], body.fps, body.skeleton)
        files = {"joints": f"motion_{number:03d}.npy"}
        save_motion(folder / files["joints"], motion)
        if arguments.format != "none":
            files["picture"] = f"motion_{number:03d}.{arguments.format}"
            PICTURES[arguments.format](folder / files["picture"], motion, sentence)
        entries.append(Entry(sentence, motion, f"seed {seed}"))
        manifest.append({"text": sentence, "seed": seed, "frames": len(places), "fps": body.fps, **files})
    write_page(folder / "index.html", entries, "Motions from sentences")
    stage, step = engine.trained
    said = {
        "model": str(Path(arguments.model).resolve()),
        "stage": stage,
        "step": step,
        "sampler": options.sampler,
        "steps": options.steps,
        "guidance": options.guidance_scale,
        "style": arguments.style,
        "motions": manifest,
    }
    (folder / "manifest.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    print(f"{len(manifest)} motions of {frames / body.fps:.1f} s in {folder}; open {folder / 'index.html'}")


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
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"--file {file} is not UTF-8 text ({error.reason} at byte {error.start})") from None
        sentences += [line.strip() for line in lines if line.strip()]
    if not sentences:
        raise ValueError("no sentence was given; use --text or --file")
    if not all(sentence.strip() for sentence in sentences):
        raise ValueError("a sentence is empty; write what the motion should show")
    return sentences


def asked_frames(arguments: argparse.Namespace, engine: Engine) -> int:
    """Frames of each motion: as asked, or the middle of what the model was trained on."""
    low, high = engine.frames
    fps = engine.folder.body.fps
    if arguments.frames is not None:
        frames, asked = arguments.frames, f"--frames {arguments.frames}"
    elif arguments.seconds is not None:
        frames, asked = round(arguments.seconds * fps), f"--seconds {arguments.seconds:g}"
    else:
        data = engine.folder.config["data"]
        return min(high, (data["min_frames"] + data["max_frames"]) // 2)
    if not low <= frames <= high:
        raise ValueError(
            f"{asked} is out of range: this model makes {low} to {high} frames, {low / fps:g} to {high / fps:g} s"
        )
    return frames
