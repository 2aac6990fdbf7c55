"""Plans a run: memory, time and money of every stage on a slice of TPUs, without any of them."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from motiongpt3_jax.commands.arguments import (
    add_sampling,
    check_answers,
    command_parser,
    integer,
    output_file,
    sampling,
    user_path,
)
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.saving import whole_file
from motiongpt3_jax.planning import plan
from motiongpt3_jax.planning.answer_plan import Requests, plan_answers
from motiongpt3_jax.planning.describe import (
    describe_answers,
    describe_plan,
    describe_scaling,
    describe_search,
    describe_shardings,
)
from motiongpt3_jax.planning.make_plan import parse_pairs
from motiongpt3_jax.planning.scaling import plan_scaling
from motiongpt3_jax.planning.search import search_settings

OF_TRAINING = ("mesh", "stage", "show_shardings", "search", "scaling")
"""Arguments that only plans of training take."""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = command_parser(
        "plan",
        "Compiles the train step of every stage of a config for a slice of TPUs, without any, and says what it takes: "
        "memory, FLOPs, collectives, time, hours, money. Needs libtpu (pip install 'motiongpt3_jax[tpu]'); or "
        "--platform estimate, which compiles nothing and knows memory and time about; or --platform cpu, which "
        "simulates the chips and knows no time.",
        "motiongpt3 plan --config motiongpt3:base --topology v5e:4x4 --config.mesh.rows=per_shard --price v5e=1.2",
        overrides=True,
    )
    parser.add_argument(
        "--config", type=user_path, required=True, help="motiongpt3:base, :tiny ..., or a path to a config file"
    )
    parser.add_argument(
        "--topology",
        help="the slice: v5e:4x4, v5p:2x2x2, v6e:4x4 ...; 4xv5e:16x16 is four; with --search several, by commas",
    )
    parser.add_argument("--mesh", help="data=N,fsdp=N,tensor=N, instead of the config's; data takes what others leave")
    parser.add_argument("--stage", help="plan this stage alone")
    parser.add_argument(
        "--platform",
        choices=("tpu", "cpu", "estimate"),
        default="tpu",
        help="what to compile for; estimate compiles nothing (default: tpu)",
    )
    parser.add_argument(
        "--effort",
        choices=("fast", "full"),
        default="fast",
        help="of the compiler; full takes several times as long (default: fast)",
    )
    parser.add_argument("--price", help="US dollars of a chip and hour: v5e=1.2")
    parser.add_argument("--words", type=integer, help="ids of the tokenizer that the config names, if not at hand")
    parser.add_argument("--show-shardings", action="store_true", help="also print how each parameter is split")
    parser.add_argument("--json", metavar="FILE", help="also write the plan to this file")
    parser.add_argument(
        "--search",
        type=integer,
        metavar="N",
        help="estimate meshes, remat policies and rows of each data shard, compile the N best, and rank them",
    )
    parser.add_argument(
        "--scaling", metavar="SLICES", help="weak and strong scaling of a stage: v5e:4x4,v5e:8x8,v5e:16x16"
    )
    group = parser.add_argument_group("inference")
    group.add_argument(
        "--task",
        choices=("train", "generate", "caption"),
        default="train",
        help="plan training (default); or, for one chip, the programs that answer requests with motions or captions",
    )
    group.add_argument("--requests", type=integer, default=32, help="sentences or motions at once (default: 32)")
    group.add_argument("--frames", type=integer, default=196, help="frames of each motion (default: 196)")
    group.add_argument("--tokens", type=integer, default=40, help="tokens of each caption (default: 40)")
    add_sampling(parser)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Plans, prints, and writes what was asked for."""
    if jax.config.jax_platforms != "cpu":  # else JAX looks for the devices of this machine first
        jax.config.update("jax_platforms", "cpu")
    file = output_file("--json", arguments.json)
    for name in ("words", "requests", "frames", "tokens", "search"):
        if getattr(arguments, name) is not None and getattr(arguments, name) < 1:
            raise UserError(f"--{name} {getattr(arguments, name)}: ask for at least 1")
    if arguments.search and arguments.scaling:
        raise UserError("--search and --scaling are two questions; ask one at a time")
    if not arguments.topology and not arguments.scaling:
        raise UserError("--topology is missing; give a slice, for example v5e:4x4")
    values = planner(arguments)(arguments)
    if file:
        write_json(file, values)


def planner(arguments: argparse.Namespace) -> Callable[[argparse.Namespace], Mapping[str, Any]]:
    """What plans, prints, and gives what is to be written."""
    if arguments.task != "train":
        return plan_inference
    if arguments.scaling:
        return plan_sizes
    return plan_settings if arguments.search else plan_training


def plan_settings(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Prints the best settings of a stage."""
    for name in ("mesh", "show_shardings"):
        if getattr(arguments, name):
            raise UserError(f"--{name.replace('_', '-')} is what --search looks for; leave it out")
    topologies = arguments.topology.split(",")
    result = search_settings(
        load(arguments), topologies, keep=arguments.search, stage=arguments.stage, **common(arguments)
    )
    print(describe_search(result, [f"--config.{value}" for value in arguments.overrides]))
    return result.to_json()


def plan_sizes(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Prints how a stage scales over slices."""
    mesh = parse_pairs("--mesh", arguments.mesh, int) if arguments.mesh else None
    topologies = arguments.scaling.split(",")
    result = plan_scaling(load(arguments), topologies, mesh=mesh, stage=arguments.stage, **common(arguments))
    print(describe_scaling(result))
    return result.to_json()


def plan_training(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Prints the plan of the stages."""
    mesh = parse_pairs("--mesh", arguments.mesh, int) if arguments.mesh else None
    result = plan(load(arguments), arguments.topology, mesh=mesh, stage=arguments.stage, **common(arguments))
    print(describe_plan(result))
    if arguments.show_shardings:
        print(f"\n{describe_shardings(result)}")
    return result.to_json(arguments.show_shardings)


def plan_inference(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Prints the plan of a batch of requests."""
    for name in OF_TRAINING:
        if getattr(arguments, name):
            raise UserError(f"--{name.replace('_', '-')} is about training; leave it out with --task {arguments.task}")
    check_answers(arguments)
    requests = Requests(arguments.task, arguments.requests, arguments.frames, arguments.tokens, sampling(arguments))
    result = plan_answers(load(arguments), arguments.topology, requests, **common(arguments))
    print(describe_answers(result))
    return result.to_json()


def load(arguments: argparse.Namespace) -> Any:
    """The config with its overrides."""
    return load_config(arguments.config, arguments.overrides)


def common(arguments: argparse.Namespace) -> dict[str, Any]:
    """What plans of training and of inference have in common."""
    return {
        "name": arguments.config,
        "platform": arguments.platform,
        "effort": arguments.effort,
        "prices": parse_pairs("--price", arguments.price, float) if arguments.price else None,
        "words": arguments.words,
    }


def write_json(file: Path, values: Mapping[str, Any]) -> None:
    """Writes a plan."""
    with whole_file(file, file.suffix) as place:
        place.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
