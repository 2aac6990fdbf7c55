#!/usr/bin/env python3
"""Hyperparameter sweep: a grid of config overrides, or a folder of configs, one run after the other.

    launch/sweep.py motiongpt3:tiny --grid model.flow False True --grid seed 0 1 --out runs/flow
    launch/sweep.py configs/ablations --out runs/ablations

The same command continues: what is finished stays, an interrupted run goes on. In OUT lie a folder for each run,
`sweep.json` (how each ended), `table.md` and `table.csv` (last validation of each stage), and `curves.svg`.
`--jobs` writes a script for each run instead, for a scheduler; `--gather` makes the tables of what has run elsewhere.
"""

import argparse
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from sweep_report import write_report

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.statuses import CONTINUES, DONE, FAILED, WRONG_INPUT

PROGRAM = f"{shlex.quote(sys.executable)} -m motiongpt3_jax"


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
      name: of its folder.
      arguments: of `motiongpt3`, the subcommand first.
    """

    name: str
    arguments: tuple[str, ...]


def parser() -> argparse.ArgumentParser:
    """The program's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("config", help="motiongpt3:tiny, a config file, or a folder of config files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the sweep")
    parser.add_argument("--variant", default="tiny", help="of the configs of a folder (default: tiny)")
    parser.add_argument(
        "--grid",
        nargs="+",
        action="append",
        default=[],
        metavar=("KEY", "VALUE"),
        help="a value of the config, and what it takes; several make every combination",
    )
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="values that all runs have")
    parser.add_argument(
        "--measure",
        type=int,
        default=0,
        metavar="COUNT",
        help="measure motions and captions of so many held-out clips after training, as `motiongpt3 demo` does",
    )
    parser.add_argument(
        "--program", default=PROGRAM, help="what runs: it is given `train` and its arguments (default: this Python's)"
    )
    parser.add_argument(
        "--jobs",
        type=Path,
        metavar="FOLDER",
        help="write a script for each run there, and run nothing; with --program 'sbatch launch/slurm.sbatch' each "
        "queues a Slurm job",
    )
    parser.add_argument("--gather", action="store_true", help="make the tables of what has run, and run nothing")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, and do nothing")
    return parser


def plan(arguments: argparse.Namespace) -> list[Run]:
    """The runs, in order.

    Raises:
      UserError: there are none, or two have the same name.
    """
    runs = []
    for config, label in configs(arguments.config, arguments.variant):
        for values in combinations(arguments.grid):
            name = re.sub(r"[^\w.,=+-]", "_", ",".join([*label, *values])) or "run"
            overrides = [f"--config.{value}" for value in (*arguments.set, *values)]
            where = ["--config", config, "--out" if arguments.measure else "--workdir", str(arguments.out / name)]
            command = ["demo", "--count", str(arguments.measure)] if arguments.measure else ["train"]
            runs.append(Run(name, (*command, *where, *overrides)))
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise UserError(f"two runs have the name {max(names, key=names.count)!r}: give each value of --grid once")
    return runs


def configs(config: str, variant: str) -> list[tuple[str, list[str]]]:
    """(name of a config, what names its run) of each config of a folder, or of the one that is given."""
    folder = Path(config)
    if not folder.is_dir():
        return [(config, [])]
    files = sorted(path for path in folder.glob("*.py") if path.stem != "__init__")
    if not files:
        raise UserError(f"{config}: the folder has no config files (*.py)")
    return [(f"{path}:{variant}" if variant else str(path), [path.stem]) for path in files]


def combinations(grid: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Every combination of a grid's values, as KEY=VALUE."""
    for key, *values in grid:
        if not values:
            raise UserError(f"--grid {key}: give the values that it takes, as in --grid seed 0 1 2")
    return list(itertools.product(*([f"{key}={value}" for value in values] for key, *values in grid)))


class Sweep:
    """Runs that go one after the other, and what is known of each.

    Args:
      out: folder of the sweep.
      program: the words that run `motiongpt3`.
    """

    def __init__(self, out: Path, program: Sequence[str]) -> None:
        self._path, self._program = out / "sweep.json", list(program)
        self.known: dict[str, dict] = json.loads(self._path.read_text()) if self._path.exists() else {}
        self._child: subprocess.Popen | None = None
        self._stopped = False

    def check(self, runs: Sequence[Run]) -> None:
        """Raises UserError when a run was begun with other arguments."""
        for run in runs:
            before = self.known.get(run.name, {}).get("arguments", list(run.arguments))
            if before != list(run.arguments):
                raise UserError(
                    f"{run.name} was begun with other arguments ({shlex.join(before)}): keep them or take another --out"
                )

    def run_all(self, runs: Sequence[Run]) -> int:
        """Runs what is not finished; a run that fails does not stop those behind it. Gives the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for place, run in enumerate(runs, 1):
            if self.known.get(run.name, {}).get("status") == DONE:
                print(f"[{place}/{len(runs)}] {run.name}: finished", flush=True)
                continue
            if self._stopped:
                return CONTINUES
            print(f"[{place}/{len(runs)}] {run.name}", flush=True)
            status = self._run(run)
            if status == CONTINUES or (status != DONE and self._stopped):
                return CONTINUES
        return FAILED if any(self.known[run.name]["status"] for run in runs) else DONE

    def _run(self, run: Run) -> int:
        began = time.monotonic()
        spent = self.known.get(run.name, {}).get("minutes", 0.0)
        self._child = subprocess.Popen([*self._program, *run.arguments])
        status = self._child.wait()
        minutes = round(spent + (time.monotonic() - began) / 60, 2)
        self.known[run.name] = {"arguments": list(run.arguments), "status": status, "minutes": minutes}
        new = self._path.with_suffix(".json.new")
        new.write_text(json.dumps(self.known, indent=1) + "\n", encoding="utf-8")
        os.replace(new, self._path)
        return status

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Ends the sweep with the run under way, which a terminal's Ctrl-C reaches by itself."""
        del frame
        self._stopped = True
        if number == signal.SIGTERM and self._child is not None:
            self._child.send_signal(number)


def write_jobs(runs: Sequence[Run], folder: Path, program: Sequence[str]) -> None:
    """Writes a script for each run. A job's script, such as `slurm.sbatch`, knows the subcommand by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    for run in runs:
        path = folder / f"{run.name}.sh"
        path.write_text(f"#!/usr/bin/env bash\nexec {command(run, program)}\n", encoding="utf-8")
        path.chmod(0o755)
        print(path)


def command(run: Run, program: Sequence[str]) -> str:
    """A run as a line for a shell."""
    arguments = run.arguments[1:] if program[0] == "sbatch" else run.arguments
    return shlex.join([*program, *arguments])


def main(words: Sequence[str] | None = None) -> int:
    """Plans, runs and reports; gives the exit status."""
    arguments = parser().parse_args(words)
    program = shlex.split(arguments.program)
    try:
        runs = plan(arguments)
        sweep = Sweep(arguments.out, program)
        sweep.check(runs)
        if program[0] == "sbatch" and (arguments.measure or not (arguments.jobs or arguments.dry_run)):
            raise UserError("--program sbatch: it queues training alone; add --jobs FOLDER, and leave --measure out")
    except UserError as error:
        print(f"sweep: {error}", file=sys.stderr)
        return WRONG_INPUT
    if arguments.dry_run:
        print("\n".join(command(run, program) for run in runs))
        return DONE
    if arguments.jobs:
        write_jobs(runs, arguments.jobs, program)
        return DONE
    arguments.out.mkdir(parents=True, exist_ok=True)
    status = DONE if arguments.gather else sweep.run_all(runs)
    print("\n" + write_report(arguments.out, [run.name for run in runs], sweep.known))
    return status


if __name__ == "__main__":
    sys.exit(main())
