"""Measures training, generation or captioning: warmed up, synchronised, medians."""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import jax
import numpy as np

from motiongpt3_jax.commands.arguments import add_sampling, command_parser, motion_options
from motiongpt3_jax.commands.assemble import Run, make_run
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.inference.engine import Engine, make_system
from motiongpt3_jax.parallel import put_batch
from motiongpt3_jax.training.program import make_program


@dataclass(frozen=True)
class Measurement:
    """What was measured.

    Attributes:
      what: train, generate or caption.
      config: its name.
      device: what it ran on.
      first_seconds: the first call, compilation included.
      median_seconds: the median of the calls after it.
      repeats: how many they were.
      samples_per_second, tokens_per_second: at the median; tokens are useful slots of all modalities, or, for
        captions, tokens written.
      shares: shares of slots and frames that held something.
    """

    what: str
    config: str
    device: str
    first_seconds: float
    median_seconds: float
    repeats: int
    samples_per_second: float
    tokens_per_second: float
    shares: dict[str, float] = field(default_factory=dict)


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = command_parser(
        "bench",
        "Measures a config with fresh weights: a training step, or a batch of requests.",
        "motiongpt3 bench generate --config motiongpt3:tiny --requests 32 --json generate.json",
        overrides=True,
    )
    found.add_argument("what", choices=("train", "generate", "caption"))
    found.add_argument("--config", required=True, help="motiongpt3:base, :tiny ...")
    found.add_argument("--stage", default="generate", help="stage to train (default: generate)")
    found.add_argument("--requests", type=int, default=32, help="sentences or motions at once (default: 32)")
    found.add_argument("--frames", type=int, default=196, help="frames of each motion (default: 196)")
    found.add_argument("--tokens", type=int, default=40, help="tokens of each caption (default: 40)")
    found.add_argument("--repeats", type=int, default=5, help="measured calls after the first (default: 5)")
    found.add_argument("--json", metavar="FILE", help="also write the numbers to this file")
    add_sampling(found)
    return found


def run(arguments: argparse.Namespace) -> None:
    """Measures and prints."""
    for name in ("requests", "frames", "tokens", "repeats"):
        if getattr(arguments, name) < 1:
            raise ValueError(f"--{name} {getattr(arguments, name)}: ask for at least 1")
    config = load_config(arguments.config, arguments.overrides)
    if not config.data.path:
        # Speed does not depend on what the clips show.
        config.data.update({"source": "procedural", "clips": 400, "max_frames": min(config.data.max_frames, 196)})
    with tempfile.TemporaryDirectory() as folder:
        made = make_run(config, folder)
        measured = {"train": bench_train, "generate": bench_generate, "caption": bench_caption}[arguments.what](
            made, arguments
        )
    print(describe(measured))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(asdict(measured), indent=1) + "\n", encoding="utf-8")


def bench_train(made: Run, arguments: argparse.Namespace) -> Measurement:
    """One step of a stage on the same batch over and over."""
    stages = {stage.name: stage for stage in made.stages()}
    if arguments.stage not in stages:
        raise ValueError(f"--stage {arguments.stage}: the config runs {', '.join(stages)}")
    stage, mesh = stages[arguments.stage], made.mesh()
    data = made.data(stage)
    batch = data.batch(0)
    held = data.useful(batch)
    system = made.system()
    with jax.set_mesh(mesh):
        variables = jax.jit(system.init)(jax.random.key(0))
        placed = put_batch(mesh, batch)
        program = make_program(system, stage, mesh, 0, variables, placed)
        state, frozen = program.start(variables)
        del variables
        box = [state]

        def step() -> None:
            box[0], report = program.step(box[0], frozen, placed)
            jax.block_until_ready(report)

        first, times = timed(step, arguments.repeats)
    shares = {name: share for name, share in held.items() if name not in ("samples", "tokens")}
    return measurement("train", arguments, first, times, held["samples"], held["tokens"], shares)


def bench_generate(made: Run, arguments: argparse.Namespace) -> Measurement:
    """A batch of sentences to joints."""
    engine = fresh_engine(made)
    captions = [texts[0] for texts in made.records.split("train").captions]
    sentences = [captions[i % len(captions)] for i in range(arguments.requests)]
    options = motion_options(arguments, engine)
    frames, seeds = [arguments.frames] * arguments.requests, list(range(arguments.requests))
    first, times = timed(lambda: engine.generate(sentences, frames, seeds, options), arguments.repeats)
    tokens = sum(len(engine.folder.tokenizer.encode(sentence)) for sentence in sentences)
    return measurement("generate", arguments, first, times, arguments.requests, tokens, engine.useful_shares())


def bench_caption(made: Run, arguments: argparse.Namespace) -> Measurement:
    """A batch of motions to captions; fresh weights hardly ever end one early."""
    engine = fresh_engine(made)
    clips = made.records.split("train").source
    clip = clips[0].features
    # Speed does not depend on what the clips show: one repeated to the asked length does.
    features = [np.resize(clip, (arguments.frames, clip.shape[1]))] * arguments.requests
    first, times = timed(lambda: engine.caption(features, arguments.tokens), arguments.repeats)
    written = arguments.requests * arguments.tokens
    return measurement("caption", arguments, first, times, arguments.requests, written, engine.useful_shares())


def fresh_engine(made: Run) -> Engine:
    """An engine with fresh weights."""
    system = make_system(made.folder)
    return Engine(system, jax.jit(system.init)(jax.random.key(0)), made.folder, ("none", 0))


def timed(call: Callable[[], object], repeats: int) -> tuple[float, list[float]]:
    """(seconds of the first call, seconds of each later one)."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return times[0], times[1:]


def measurement(
    what: str,
    arguments: argparse.Namespace,
    first: float,
    times: list[float],
    samples: float,
    tokens: float,
    shares: dict[str, float],
) -> Measurement:
    """The numbers at the median."""
    median = statistics.median(times)
    device = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    return Measurement(
        what, arguments.config, device, first, median, len(times), samples / median, tokens / median, shares
    )


def describe(measured: Measurement) -> str:
    """The numbers for people."""
    shares = ", ".join(f"{name.replace('_', ' ')} {share:.0%}" for name, share in measured.shares.items())
    return (
        f"{measured.what} {measured.config} on {measured.device}: median {measured.median_seconds:.4g} s of "
        f"{measured.repeats} (first {measured.first_seconds:.3g} s), {measured.samples_per_second:.4g} samples/s, "
        f"{measured.tokens_per_second:.4g} useful tokens/s; {shares}"
    )
