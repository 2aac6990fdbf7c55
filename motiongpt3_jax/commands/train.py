"""Training: runs the stages of a config, on one or several processes."""

import argparse
import os
import re
import sys
from pathlib import Path

import jax
from ml_collections import ConfigDict

from motiongpt3_jax.commands.arguments import command_parser, keep_compiled_programs, store_path, user_path
from motiongpt3_jax.commands.training import exit_as_training_ends
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.train import train
from motiongpt3_jax.inference.digests import CONFIG
from motiongpt3_jax.parallel import initialize_distributed
from motiongpt3_jax.parallel.processes import node_gpus
from motiongpt3_jax.planning.memory_check import check_memory
from motiongpt3_jax.statuses import status_lines

PROCESS = re.compile(r"(?P<host>\S+:[0-9]{1,5}) (?P<count>[0-9]{1,6}) (?P<index>[0-9]{1,6})")
"""The address of the first process, how many there are, and which of them this is, from 0."""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = command_parser(
        "train",
        "Runs the stages of a config. The same command continues an interrupted run; finished stages are left alone.",
        "motiongpt3 train --config motiongpt3:tiny --workdir runs/tiny --config.stages.vae.steps=5000",
        overrides=True,
        end=status_lines(),
    )
    parser.add_argument(
        "--config", type=user_path, required=True, help="motiongpt3:base, :tiny, :demo, or a path to a config file"
    )
    parser.add_argument("--workdir", type=store_path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--profile",
        type=user_path,
        metavar="DIR",
        help="traces a few steps of each stage for XProf, into DIR/STAGE; results stay the same",
    )
    parser.add_argument(
        "--distributed",
        nargs="*",
        metavar="WORD",
        help="one of several processes that see the same RUN; alone on a TPU pod or under Slurm, elsewhere followed by "
        "HOST:PORT COUNT INDEX",
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Trains; leaves with one sentence and a status of its own where a signal or a loss stops it."""
    with exit_as_training_ends():
        config = load_config(arguments.config, arguments.overrides)
        if arguments.distributed is not None:
            join_processes(arguments.distributed)
        keep_compiled_programs()
        check_stages_fit(config, arguments.workdir)
        train(config, arguments.workdir, profile=arguments.profile)
    print(f'trained; next: motiongpt3 generate --model {arguments.workdir} --text "a person walks" --out motions')


def check_stages_fit(config: ConfigDict, workdir: str) -> None:
    """Says before a run begins which of its stages may not fit into the devices' memory.

    Raises:
      UserError: one cannot.
    """
    if (Path(workdir) / CONFIG).exists():
        return  # it was said when the run began
    warnings = check_memory(config)  # of every process, so that all of them end where it refuses
    for sentence in warnings if jax.process_index() == 0 else ():
        print(f"note: {sentence}", file=sys.stderr, flush=True)


def join_processes(words: list[str]) -> None:
    """Joins the other processes of a run: found by themselves, or as HOST:PORT COUNT INDEX.

    Raises:
      UserError: other words.
    """
    if not words:
        return initialize_distributed(devices=node_gpus(os.environ))
    match = PROCESS.fullmatch(" ".join(words))
    if not match:
        raise UserError(f"--distributed {' '.join(words)}: give nothing, or HOST:PORT COUNT INDEX")
    count, index = int(match["count"]), int(match["index"])
    if index >= count:
        raise UserError(f"--distributed {' '.join(words)}: of {count} processes the last has the index {count - 1}")
    return initialize_distributed(match["host"], count, index)
