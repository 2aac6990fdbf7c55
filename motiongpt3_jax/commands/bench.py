"""Benchmarks of training, the VAE, inference and samplers: warmed up, synchronised, medians."""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.commands.arguments import (
    add_sampling,
    check_answers,
    command_parser,
    integer,
    output_file,
    sampling,
    text_lines,
    user_path,
)
from motiongpt3_jax.commands.bench_data import bench_data, describe_input, usual_stage
from motiongpt3_jax.commands.measurement import PRODUCT, Measurement, describe, measurement
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.data_pipelines import procedural
from motiongpt3_jax.data_pipelines.packing import useful
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.evaluation.accuracy import motion_accuracy
from motiongpt3_jax.experiment.check_config import check_config, stages_to_run
from motiongpt3_jax.experiment.config import read_config
from motiongpt3_jax.experiment.run import Run, make_run
from motiongpt3_jax.inference.engine import Engine, make_system
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.motion import HUMANML3D
from motiongpt3_jax.motion.saving import whole_file
from motiongpt3_jax.parallel import keep_host_memory, put_batch
from motiongpt3_jax.parallel.product_rate import measured_rate
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.training.partition import paths_of
from motiongpt3_jax.training.program import make_program

FRAMES = 196
"""Frames of a motion that are measured by default: the most that the data of the field have."""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = command_parser(
        "bench",
        "Measures a config with fresh weights: a training step, the VAE, codes of clips, or batches of requests. What "
        "real tokens need, where the system counts it, is compared with large matrix products (MFU). `samplers` "
        "measures a trained model instead: how many sentences few denoising steps show, against many. `data` measures "
        "how fast a stage's batches are planned, read and built, on the host alone.",
        "motiongpt3 bench generate --config motiongpt3:tiny --requests 1 32 --json generate.json",
        overrides=True,
    )
    parser.add_argument("what", choices=("train", "vae", "encode", "generate", "caption", "samplers", "data"))
    parser.add_argument("--config", type=user_path, help="motiongpt3:base, :tiny ...")
    parser.add_argument("--stage", help="stage to train or to read (default: generate, or the config's last)")
    parser.add_argument(
        "--requests",
        type=integer,
        nargs="+",
        default=[32],
        help="sentences, motions or clips at once, one or more (default: 32)",
    )
    parser.add_argument(
        "--file",
        type=user_path,
        help="generate: a text file with a sentence a line (default: captions of the data)",
    )
    parser.add_argument(
        "--frames", type=integer, help="frames of each motion (default: 196, of captions at most what the config reads)"
    )
    parser.add_argument("--tokens", type=integer, default=40, help="tokens of each caption (default: 40)")
    parser.add_argument("--repeats", type=integer, default=5, help="measured calls after the first (default: 5)")
    parser.add_argument("--json", type=user_path, metavar="FILE", help="also write the numbers to this file")
    group = parser.add_argument_group("data")
    group.add_argument("--clips", type=integer, default=23384, help="clips of an epoch (default: HumanML3D's 23384)")
    group.add_argument("--sentences", type=user_path, metavar="FILE", help="captions: a sentence, or JSON, a line")
    group.add_argument(
        "--readers", type=integer, nargs="+", default=[1], help="processes that share a batch, one or more (default: 1)"
    )
    group = parser.add_argument_group("samplers")
    group.add_argument("--model", type=user_path, metavar="RUN", help="a model trained on the embedded data")
    group.add_argument("--count", type=integer, default=1000, help="held-out sentences (default: 1000)")
    add_sampling(parser)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Measures and prints."""
    for name in ("frames", "tokens", "repeats", "count", "clips"):
        if getattr(arguments, name) is not None and getattr(arguments, name) < 1:
            raise UserError(f"--{name} {getattr(arguments, name)}: ask for at least 1")
    if min(arguments.requests) < 1:
        raise UserError(f"--requests {min(arguments.requests)}: ask for at least 1")
    check_answers(arguments)
    written = output_file("--json", arguments.json)
    if arguments.file:
        text_lines("--file", arguments.file)  # what is wrong with it is said before anything is built
    measured = {"samplers": bench_samplers, "data": bench_input}.get(arguments.what, bench_config)(arguments)
    if written:
        with whole_file(written, written.suffix) as fresh:
            fresh.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


def bench_input(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Speeds of planning, reading and building."""
    measurements = bench_data(arguments)
    for result in measurements:
        print(describe_input(result))
    return [asdict(result) for result in measurements]


def bench_config(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Speeds of a config with fresh weights."""
    if not arguments.config:
        raise UserError(f"bench {arguments.what} measures a config: give --config, for example motiongpt3:tiny")
    config = load_config(arguments.config, arguments.overrides)
    stages = stages_to_run(check_config(plain(config.to_dict())))
    arguments.stage = arguments.stage or usual_stage(stages)
    if arguments.what == "train" and arguments.stage not in stages:
        raise UserError(f"--stage {arguments.stage}: the config runs {', '.join(stages)}")
    if arguments.frames is None:
        arguments.frames = min(FRAMES, config.data.max_frames) if arguments.what == "caption" else FRAMES
    if arguments.what == "vae" and "vae" not in config.stages:
        raise UserError(f"bench vae measures a stage 'vae'; {arguments.config} has: {', '.join(config.stages)}")
    if arguments.what == "vae":
        config.data.update({"path": "", "min_frames": arguments.frames, "max_frames": arguments.frames})
        config.run = ("vae",)
        config.stages.vae.batch.update({"clips": ((arguments.frames, 1),), "samples": 1})
    if not config.data.path:
        # Speed does not depend on what the clips show.
        longest = arguments.frames if arguments.what == "vae" else min(config.data.max_frames, FRAMES)
        config.data.update({"source": "procedural", "clips": min(config.data.clips, 400), "max_frames": longest})
    keep_host_memory()
    with tempfile.TemporaryDirectory() as folder:
        experiment = make_run(config, folder)
        if arguments.what == "train":
            measurements = [bench_train(experiment, arguments, arguments.stage)]
        elif arguments.what == "encode":
            measurements = [bench_encode(experiment, arguments, clips) for clips in arguments.requests]
        elif arguments.what == "vae":
            measurements = [each for clips in arguments.requests for each in bench_vae(experiment, arguments, clips)]
        else:
            model = fresh_model(experiment, arguments.frames)
            bench = {"generate": bench_generate, "caption": bench_caption}[arguments.what]
            measurements = [bench(experiment, model, arguments, requests) for requests in arguments.requests]
    if any(result.flops and not result.products for result in measurements):
        rate = measured_rate(dtype_of(experiment), arguments.repeats)
        measurements = [replace(each, products=each.median_seconds * rate / PRODUCT) for each in measurements]
    for result in measurements:
        print(describe(result))
    return [result.numbers for result in measurements]


def bench_train(experiment: Run, arguments: argparse.Namespace, stage_name: str) -> Measurement:
    """One step of a stage on the same full batch over and over."""
    stages = {stage.name: stage for stage in experiment.stages()}
    stage, mesh = stages[stage_name], experiment.mesh()
    system = experiment.system()
    with jax.set_mesh(mesh):
        variables = jax.jit(system.init)(jax.random.key(0))
        batch = first_batch(experiment, stage_name, variables)
        placed = put_batch(mesh, batch)
        program = make_program(system, stage, mesh, 0, variables, placed, experiment.config.mesh.sharding)
        state, frozen = program.start(variables)
        del variables
        box = [state]

        def step() -> None:
            box[0], report = program.step(box[0], frozen, placed)
            jax.block_until_ready(report)

        first, times = timed(step, arguments.repeats)
    shares = useful(batch)
    samples, tokens = shares.pop("samples"), shares.pop("tokens")
    average = measurement("train", arguments.config, first, times, samples, tokens, shares)
    return replace(average, flops=system.train_flops(stage.loss, batch, stage.objective, paths_of(program.frozen)))


def first_batch(experiment: Run, stage: str, variables: Variables) -> Batch:
    """A stage's first batch; clips that are encoded once, before it begins, are encoded with these variables."""
    return next(experiment.loader(stage, "train", lambda: variables).first_batches(1))


def bench_vae(experiment: Run, arguments: argparse.Namespace, clips: int) -> list[Measurement]:
    """A training step, encoding and decoding of so many clips of one length, each beside products of matrices."""
    frames, values = arguments.frames, experiment.config.values
    vae = values["stages"]["vae"]
    stages = {"vae": {**vae, "batch": {**vae["batch"], "rows": clips}}}
    experiment = replace(experiment, config=read_config({**values, "stages": stages}))
    measured = [replace(bench_train(experiment, arguments, "vae"), what="vae train")]

    system = make_system(experiment.folder)
    variables = jax.jit(system.init)(jax.random.key(0))
    features = jax.random.normal(jax.random.key(1), (clips, frames, system.config.vae.features))
    counts = jnp.full((clips,), frames)
    vae, params = system.modules.vae, {"params": variables.params["vae"]}
    encode = jax.jit(lambda params, x: vae.apply(params, x, counts, method="encode")[0])
    decode = jax.jit(lambda params, z: vae.apply(params, z, counts, frames, method="decode"))
    latents = encode(params, features)
    for name, call in (("encode", lambda: encode(params, features)), ("decode", lambda: decode(params, latents))):
        first, times = timed(lambda call=call: jax.block_until_ready(call()), arguments.repeats)
        measured.append(measurement(f"vae {name}", arguments.config, first, times, clips, clips * frames, {}))
    rate = measured_rate(dtype_of(experiment), arguments.repeats)
    return [replace(each, requests=clips, products=each.median_seconds * rate / PRODUCT) for each in measured]


def bench_encode(experiment: Run, arguments: argparse.Namespace, clips: int) -> Measurement:
    """Codes of so many clips of one length, as a data set is encoded before a stage that reads them."""
    kind, values = experiment.folder.kind, experiment.config.values
    encoders = (kind.clip_encoder(values["stages"][name], experiment.folder.spec) for name in values["run"])
    encoder = next(filter(None, encoders), None)
    if encoder is None:
        raise UserError(f"bench encode measures codes that are computed once, and {arguments.config} has none")
    features = jax.random.normal(jax.random.key(1), (clips, arguments.frames, experiment.folder.spec.features))
    variables = jax.jit(make_system(experiment.folder).init)(jax.random.key(0))
    encode, counts = jax.jit(encoder.encode), jnp.full((clips,), arguments.frames)
    first, times = timed(lambda: jax.block_until_ready(encode(variables, features, counts)), arguments.repeats)
    average = measurement("encode", arguments.config, first, times, clips, clips * encoder.count(arguments.frames), {})
    return replace(average, requests=clips, flops=encoder.flops([arguments.frames] * clips))


def dtype_of(experiment: Run) -> str:
    """What a model computes in."""
    return experiment.config.model.get("dtype", "float32")


def bench_generate(experiment: Run, model: Model, arguments: argparse.Namespace, requests: int) -> Measurement:
    """A batch of sentences to joints."""
    if arguments.file:
        captions = text_lines("--file", arguments.file)
    else:
        captions = [texts[0] for texts in experiment.records.split("train").captions]
    sentences = [captions[i % len(captions)] for i in range(requests)]
    frames, options = arguments.frames, asdict(model.motion_options(**sampling(arguments)))
    if not model.engine.answers.capabilities.takes_length:
        frames = None
    tokenizer = model.engine.folder.tokenizer
    # A system without a tokenizer reads letters.
    tokens = sum(len(tokenizer.encode(sentence) if tokenizer else sentence) for sentence in sentences)
    return answers(arguments, model, requests, tokens, lambda m: m.generate(sentences, frames=frames, **options))


def bench_caption(experiment: Run, model: Model, arguments: argparse.Namespace, requests: int) -> Measurement:
    """A batch of motions to captions; fresh weights hardly ever end one early."""
    clip = experiment.records.split("train").source[0].features
    # Speed does not depend on what the clips show: one repeated to the asked length does.
    features = [np.resize(clip, (arguments.frames, clip.shape[1]))] * requests
    tokens = requests * arguments.tokens
    return answers(arguments, model, requests, tokens, lambda m: m.caption_features(features, max_new=arguments.tokens))


def answers(
    arguments: argparse.Namespace, model: Model, requests: int, tokens: int, call: Callable[[Model], object]
) -> Measurement:
    """The first call, the calls after it, and the phases of as many more."""
    first, times = timed(lambda: call(model), arguments.repeats)
    phases: dict[str, list[float]] = {}
    flops: list[Mapping[str, float]] = []
    for _ in range(arguments.repeats):
        timed_model = replace(model, engine=replace(model.engine, phases={}, flops=[]))
        call(timed_model)
        flops = timed_model.engine.flops
        for name, seconds in timed_model.engine.phases.items():
            phases.setdefault(name, []).append(seconds)
    average = measurement(
        arguments.what, arguments.config, first, times, requests, tokens, model.engine.useful_shares()
    )
    medians = {name: statistics.median(seconds) for name, seconds in phases.items()}
    by_phase = {name: sum(batch[name] for batch in flops) for name in medians if any(name in batch for batch in flops)}
    total = sum(by_phase.values()) or None
    return replace(average, requests=requests, phases=medians, phase_flops=by_phase, flops=total)


def fresh_model(experiment: Run, frames: int) -> Model:
    """A model with fresh weights, as if trained on clips of so many frames: none are cut into windows."""
    system = make_system(experiment.folder)
    body = replace(experiment.folder.statistics, lengths=np.array([frames]))
    engine = Engine.of(
        replace(experiment.folder, statistics=body), jax.jit(system.init)(jax.random.key(0)), ("none", 0)
    )
    engine = replace(engine, variables=engine.answers.prepare(engine.variables))
    return Model(engine, Prompts.of(experiment.folder, "generate"))


def bench_samplers(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Sentences shown by few steps of the usual sampler and by 100 (of a diffusion: ancestral), from the same seeds."""
    if not arguments.model:
        raise UserError("bench samplers measures a trained model: give --model, for example runs/demo")
    model = Model.load(arguments.model)
    if not hasattr(model.motion_options(), "sampler"):
        raise UserError(f"bench samplers compares denoising samplers, and {arguments.model} has none")
    if model.skeleton.name != HUMANML3D.name:
        raise UserError(
            f"bench samplers reads motions of the {HUMANML3D.name} skeleton, and {arguments.model} makes those of "
            f"{model.skeleton.name}"
        )
    data = model.engine.folder.config["data"]
    # Its frames are those of joints, of which features lose one.
    steps, guidance = arguments.steps or 20, 3.0 if arguments.guidance is None else arguments.guidance
    kinds = procedural.Options(data["min_frames"] + 1, data["max_frames"] + 1, data["sequences"])
    clips = list(procedural.clips("test", arguments.count, seed=model.engine.folder.config["seed"], options=kinds))
    sentences, labels = [clip.captions[0] for clip in clips], [clip.labels for clip in clips]
    frames = [len(clip.features) for clip in clips]
    measurements = []
    few = model.motion_options().sampler
    for sampler, count in (("euler" if few == "euler" else "ancestral", 100), (few, steps)):
        began = time.perf_counter()
        motions = model.generate(sentences, frames=frames, sampler=sampler, steps=count, guidance_scale=guidance)
        seconds = time.perf_counter() - began
        share = motion_accuracy([motion.joints[0] for motion in motions], labels)
        measurements.append({"sampler": sampler, "steps": count, "right": share.share_right, "of": len(clips)})
        measurements[-1] |= {"guidance": guidance, "seconds": seconds}
        print(f"{count} {sampler} steps: {share.share_right:.1%} of {len(clips)} sentences shown, {seconds:.1f} s")
    return measurements


def timed(call: Callable[[], object], repeats: int) -> tuple[float, list[float]]:
    """(seconds of the first call, seconds of each later one)."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return times[0], times[1:]
