"""Runs the stages of a config."""

import argparse
import os
import re
import sys
import time
from functools import partial
from pathlib import Path

import jax
from jax.experimental.multihost_utils import process_allgather
from ml_collections import ConfigDict

from motiongpt3_jax.commands.arguments import command_parser, user_path
from motiongpt3_jax.commands.assemble import Run, check_run, make_run
from motiongpt3_jax.commands.beginning import beginning, begins_trained
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.engine import Engine, make_system
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.motion import Motion, features_to_joints
from motiongpt3_jax.motion.pictures import Entry, write_page
from motiongpt3_jax.parallel import first_does, initialize_distributed, keep_host_memory
from motiongpt3_jax.parallel.processes import node_gpus
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.training import Hooks, Stage, TrainingDiverged, TrainingInterrupted, only_run
from motiongpt3_jax.training import run as run_stages

PROCESS = re.compile(r"(?P<host>\S+:[0-9]{1,5}) (?P<count>[0-9]{1,6}) (?P<index>[0-9]{1,6})")
"""The address of the first process, how many there are, and which of them this is, from 0."""

SAMPLES = 4
"""Motions rendered at a time during training."""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = command_parser(
        "train",
        "Runs the stages of a config. The same command continues an interrupted run; finished stages are left alone.",
        "motiongpt3 train --config motiongpt3:tiny --workdir runs/tiny --config.stages.vae.steps=5000",
        overrides=True,
    )
    found.add_argument(
        "--config", type=user_path, required=True, help="motiongpt3:base, :tiny, :demo, or a path to a config file"
    )
    found.add_argument("--workdir", type=user_path, required=True, metavar="RUN", help="folder of the run")
    found.add_argument(
        "--distributed",
        nargs="*",
        metavar="WORD",
        help="one of several processes that see the same RUN; alone on a TPU pod or under Slurm, elsewhere followed by "
        "HOST:PORT COUNT INDEX",
    )
    return found


def run(arguments: argparse.Namespace) -> None:
    """Trains."""
    config = load_config(arguments.config, arguments.overrides)
    if arguments.distributed is not None:
        join_processes(arguments.distributed)
    train(config, arguments.workdir)
    print(f'trained; next: motiongpt3 generate --model {arguments.workdir} --text "a person walks" --out motions')


def join_processes(words: list[str]) -> None:
    """Joins the other processes of a run: found by themselves, or as HOST:PORT COUNT INDEX.

    Raises:
      UserError: other words.
    """
    if not words:
        return initialize_distributed(devices=node_gpus(os.environ))
    found = PROCESS.fullmatch(" ".join(words))
    if not found:
        raise UserError(f"--distributed {' '.join(words)}: give nothing, or HOST:PORT COUNT INDEX")
    count, index = int(found["count"]), int(found["index"])
    if index >= count:
        raise UserError(f"--distributed {' '.join(words)}: of {count} processes the last has the index {count - 1}")
    return initialize_distributed(found["host"], count, index)


def train(config: ConfigDict, workdir: str | Path, minutes: dict[str, float] | None = None) -> Run:
    """Prepares the run's folder and trains what is not trained yet; `minutes` receives the time of each part.

    Raises:
      SystemExit: a signal stopped the run, or a loss was not finite.
    """
    clock = _Clock({} if minutes is None else minutes)
    check_run(config, workdir)
    keep_host_memory()
    try:
        with only_run(workdir):
            made = first_does("prepare the run", partial(make_run, config, workdir)) or make_run(config, workdir)
            system = made.system()
            run_stages(
                system,
                made.stages(),
                lambda stage: clock.begin(stage.name) or made.data(stage),
                workdir,
                seed=made.config["seed"],
                initial=partial(beginning, system, made.config) if begins_trained(made.config) else None,
                mesh=made.mesh(),
                hooks=Hooks(samples=partial(render, made, {})),
            )
    except (TrainingInterrupted, TrainingDiverged) as stopped:
        # Leaves with status 1 and this sentence alone.
        sys.exit(f"motiongpt3: {stopped}")
    clock.begin("")
    return made


class _Clock:
    """Minutes of each part of a run."""

    def __init__(self, minutes: dict[str, float]) -> None:
        self.minutes, self.name, self.since = minutes, "data", time.monotonic()

    def begin(self, name: str) -> None:
        """Ends the part before and begins the next."""
        now = time.monotonic()
        self.minutes[self.name] = (now - self.since) / 60
        self.name, self.since = name, now


def render(made: Run, compiled: dict, stage: Stage, step: int, variables: Variables) -> None:
    """Writes a page of motions of the validation split: generated from its sentences, or through the VAE and back.

    `compiled` keeps the programs from one call to the next.
    """
    if "val" not in made.records.splits:
        return
    if jax.process_count() > 1:
        # Every process has its part of the arrays; the first one draws.
        variables = process_allgather(variables, tiled=True)
    if jax.process_index():
        return
    split, body = made.records.split("val"), made.folder.body
    engine = Engine(make_system(made.folder), variables, made.folder, (stage.name, step), compiled)
    picked = range(min(SAMPLES, len(split)))
    sentences = [split.captions[i][0] for i in picked]
    real = [split.source[i].features for i in picked]
    if stage.loss == "vae":
        joints = engine.reconstruct(real)
    elif stage.objective.diffusion:
        model = Model(engine, Prompts.of(made.folder.config, stage.name))
        joints = [motion.joints[0] for motion in model.generate(sentences, frames=[len(x) for x in real])]
    else:
        return
    entries = []
    for sentence, places, features in zip(sentences, joints, real):
        entries.append(Entry(sentence, Motion(places[None], body.fps, body.skeleton), f"{stage.name} {step}"))
        recorded = features_to_joints(features, body.skeleton)
        entries.append(Entry(sentence, Motion(recorded[None], body.fps, body.skeleton), "recorded"))
    folder = made.folder.path / "samples"
    folder.mkdir(exist_ok=True)
    write_page(folder / f"{stage.name}_{step:07d}.html", entries, f"{stage.name}, step {step}")
