"""Plans a run: memory, time and money of every stage on a slice of TPUs, without any of them."""

import argparse
import json

import jax

from motiongpt3_jax.commands.arguments import command_parser, integer, output_file, user_path
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.saving import whole_file
from motiongpt3_jax.planning import plan
from motiongpt3_jax.planning.describe import describe_plan, describe_shardings
from motiongpt3_jax.planning.make_plan import parse_pairs


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
    parser.add_argument("--topology", required=True, help="the slice: v5e:4x4, v5e:16x16, v5p:2x2x2, v6e:4x4 ...")
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
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Plans, prints, and writes what was asked for."""
    if jax.config.jax_platforms != "cpu":  # else JAX looks for the devices of this machine first
        jax.config.update("jax_platforms", "cpu")
    file = output_file("--json", arguments.json)
    if arguments.words is not None and arguments.words < 1:
        raise UserError(f"--words {arguments.words}: ask for at least 1")
    result = plan(
        load_config(arguments.config, arguments.overrides),
        arguments.topology,
        name=arguments.config,
        mesh=parse_pairs("--mesh", arguments.mesh, int) if arguments.mesh else None,
        stage=arguments.stage,
        platform=arguments.platform,
        effort=arguments.effort,
        prices=parse_pairs("--price", arguments.price, float) if arguments.price else None,
        words=arguments.words,
    )
    print(describe_plan(result))
    if arguments.show_shardings:
        print(f"\n{describe_shardings(result)}")
    if file:
        with whole_file(file, file.suffix) as place:
            place.write_text(json.dumps(result.to_json(arguments.show_shardings), indent=1) + "\n", encoding="utf-8")
