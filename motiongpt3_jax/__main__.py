"""The console command: finds the subcommand, and turns a wrong or missing thing into one sentence."""

import errno
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from keyword import iskeyword

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.statuses import DONE, FAILED, WRONG_INPUT

FAULT = "this is a fault of the program: please report the lines above as an issue of the repository that it came from"

COMMANDS = {
    "demo": "everything small, end to end, from nothing",
    "data": "build, show or check a source of captioned motions",
    "plan": "memory, time and money of a config on TPUs, without any",
    "train": "run the stages of a config; the same command continues an interrupted run",
    "generate": "motions from sentences",
    "caption": "sentences from motions",
    "import": "the official checkpoint, MLD's VAE or a GPT-2 as a model",
    "export": "a model as a folder to share, or as a checkpoint of the official code",
    "predict": "what may come after a motion",
    "inbetween": "what may lie between two motions",
    "chat": "any instruction, answered in words, in motion or in both",
    "convert": "a motion file as another kind of file, or as a picture",
    "bench": "measure training, generation or captioning",
}


def usage() -> str:
    """What `motiongpt3 --help` prints."""
    lines = [f"  {name:<10}{about}" for name, about in COMMANDS.items()]
    return "\n".join(
        [
            "usage: motiongpt3 COMMAND [options]",
            "",
            "Motion and language in one model.",
            "",
            "commands:",
            *lines,
            "",
            "motiongpt3 COMMAND --help says more, with an example; motiongpt3 --version says which this is.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one subcommand; returns the exit status, of `statuses` or 130 when Ctrl-C stopped it."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments else ""
    ready_streams()
    try:
        try:
            return run(arguments)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"motiongpt3 {name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has stopped.
        drop_output()
        return 141
    except (UserError, OSError) as error:
        if os.environ.get("MOTIONGPT3_TRACEBACK"):
            raise
        print(f"motiongpt3 {name}: {error}", file=sys.stderr)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            drop_output()  # it may be the output that has no room
        return WRONG_INPUT
    except Exception:
        traceback.print_exc()
        print(f"motiongpt3 {name}: {FAULT}", file=sys.stderr)
        return FAILED


def ready_streams() -> None:
    """Makes the standard streams ones that anything can be printed to.

    A closed one (`>&-`) leads nowhere, and letters that a console cannot show are replaced.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (as long as the process)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def drop_output() -> None:
    """Lets what is not printed yet go nowhere; Python would complain of it when it closes the output."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(arguments: list[str]) -> int:
    """Finds the subcommand and runs it; returns its exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return DONE
    if arguments[0] == "--version":
        print(f"motiongpt3 {version('motiongpt3_jax')}")
        return DONE
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"motiongpt3: there is no command {name!r}; there are: {', '.join(COMMANDS)}", file=sys.stderr)
        return WRONG_INPUT
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # A module cannot be called `import`.
    command = importlib.import_module(f"motiongpt3_jax.commands.{name}{'_' * iskeyword(name)}")
    with importlib.import_module("motiongpt3_jax.commands.notes").notes_as_lines():
        return command.run(command.parser().parse_args(rest)) or DONE


if __name__ == "__main__":
    sys.exit(main())
