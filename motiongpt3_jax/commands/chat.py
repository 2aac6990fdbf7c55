"""Chat: free instructions to a model, which answers in words, in motion or in both."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from motiongpt3_jax.commands.arguments import (
    add_decoding,
    add_mesh,
    add_model,
    add_sampling,
    command_parser,
    decoding,
    duration,
    integer,
    load_model,
    number,
    output_folder,
    sampling,
    user_path,
)
from motiongpt3_jax.commands.functions import load_function
from motiongpt3_jax.commands.motions import note_persons, read_motions
from motiongpt3_jax.commands.notes import hint_quotes
from motiongpt3_jax.commands.results import Result, add_results, origin, unknown_note, write_results
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.chat import PLACE, Chat, Reply, check_length, last_motion, named_motions
from motiongpt3_jax.inference.clips import require_readable
from motiongpt3_jax.inference.planner import Planner
from motiongpt3_jax.motion import Motion

RULES = "rules"
"""The planner that is no chat model."""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = command_parser(
        "chat",
        "Any instruction, with or without motions: `<motion:file.npy>` stands for a file, `<motion:last>` for the "
        "newest motion of the answers. Without an instruction, lines are read until the end of the input.",
        'motiongpt3 chat --model runs/demo "Show a person who waves." "What is this? <motion:last>" --out chat',
    )
    add_model(parser)
    add_mesh(parser)
    parser.add_argument("instruction", nargs="*", help="one or several turns")
    parser.add_argument(
        "--planner",
        metavar="PLANNER",
        help="split long requests into motions that follow each other: by 'rules' (\"walk, then sit down\"), or by any "
        "chat model: FILE.py:FUNCTION or MODULE:FUNCTION, from messages ({'role', 'content'} each) to text",
    )
    parser.add_argument("--seconds", type=duration, help="length of motions in answers (default: as the model says)")
    parser.add_argument("--memory", type=integer, default=0, help="earlier turns that the model is shown (default: 0)")
    parser.add_argument("--seed", type=integer, default=0, help="turn n has seed SEED + n")
    parser.add_argument(
        "--mapping", type=user_path, metavar="FILE", help="JSON file that names the joints of odd .bvh files"
    )
    parser.add_argument("--fps", type=number, help="frames a second of files that do not say")
    add_results(parser, out="chat")
    add_decoding(parser)
    add_sampling(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Answers turn by turn; 2 when a turn could not be answered."""
    if arguments.memory < 0:
        raise UserError(f"--memory {arguments.memory}: show 0 or more earlier turns")
    if arguments.planner is not None and arguments.memory:
        raise UserError("--memory shows a model earlier turns; a planner has all of them: leave it out")
    how: dict[str, Any] = {"decoding": decoding(arguments), "seconds": arguments.seconds}
    chat_model = None if arguments.planner in (None, RULES) else load_function("--planner", arguments.planner)
    hint_quotes(arguments.instruction, "")
    folder = output_folder(arguments.out)
    model = load_model(arguments)
    options = model.motion_options(**sampling(arguments))
    how |= asdict(options)
    chat: Chat | Planner
    if arguments.planner is None:
        check_length(model, arguments.seconds)
        chat = Chat(model, arguments.memory)
    else:
        chat = Planner(model, chat_model)
    replies: list[Reply] = []
    results: list[Result] = []
    wrong = False
    try:
        for number, line in enumerate(arguments.instruction or lines()):
            try:
                reply = answer(arguments, chat, replies, line, arguments.seed + number, **how)
            except (UserError, OSError) as error:
                # The next turn may be right.
                print(f"motiongpt3 chat: {error}", file=sys.stderr, flush=True)
                wrong = True
                continue
            replies.append(reply)
            record = {"instruction": line, "answer": reply.text, "turn": number}
            record |= {"steps": reply.steps} if reply.steps else {}
            sentences = " ".join(reply.steps) or named_motions(line)[0].replace(PLACE, " ")
            note = "; ".join(filter(None, [*reply.steps, reply.text]))
            warning = unknown_note(model.unknown_words(sentences))
            results += [Result(motion, line, note, record, warning) for motion in reply.motions]
            print(as_line(reply, len(results) - len(reply.motions)), flush=True)
    finally:
        # An interrupt loses none of the turns before it.
        if results:
            write_results(folder, arguments, results, "A conversation", origin(model, arguments.model, options))
            print(f"{len(results)} motions in {folder}; open {folder / 'index.html'}", file=sys.stderr)
    return 2 if wrong else 0


def answer(
    arguments: argparse.Namespace, chat: Chat | Planner, replies: Sequence[Reply], line: str, seed: int, **how: Any
) -> Reply:
    """The answer to a line that may name motion files; `how` is said as to `Chat.say`.

    Raises:
      UserError: the line, or a chat model's plan of it, cannot be understood.
      OSError: a file cannot be read.
    """
    instruction, names = named_motions(line)
    motions = [last_motion(replies) if name == "last" else read(arguments, chat, name) for name in names]
    return chat.say(instruction, motions, seed=seed, **how)


def lines() -> Iterator[str]:
    """Instructions typed in, or piped."""
    if sys.stdin.isatty():
        print("an instruction a line; <motion:FILE> stands for a motion, an empty line ends", file=sys.stderr)
    for line in sys.stdin:
        if line.strip():
            yield line.strip()
        elif sys.stdin.isatty():
            return


def read(arguments: argparse.Namespace, chat: Chat | Planner, name: str) -> Motion:
    """A motion file that an instruction names."""
    statistics = chat.model.engine.folder.statistics
    (motion,) = read_motions([name], arguments.mapping, file_fps=arguments.fps, statistics=statistics)
    require_readable(motion, statistics, f"motion '{name}'")
    note_persons({name: motion})
    return motion


def as_line(reply: Reply, number: int) -> str:
    """An answer as a line."""
    steps = f": {'; '.join(reply.steps)}" if reply.steps else ""
    motions = [f"[motion_{number + n:03d}: {motion.seconds:.1f} s{steps}]" for n, motion in enumerate(reply.motions)]
    return " ".join(filter(None, [reply.text, *motions])) or "(no answer)"
