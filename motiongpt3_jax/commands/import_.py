"""Weights of a published model, of a part of one, or of a LoRA adapter, as a model's folder."""

import argparse

from motiongpt3_jax.commands.arguments import command_parser, user_path
from motiongpt3_jax.commands.export import print_files
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.interop.import_adapter import import_adapter
from motiongpt3_jax.interop.import_model import import_model, next_step
from motiongpt3_jax.tensors.checkpoint_files import SUFFIXES


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = command_parser(
        "import",
        "A checkpoint of the official MotionGPT3, MotionGPT or MotionLLM, of MLD's motion VAE, of T2M-GPT's VQ-VAE or "
        "of a GPT-2 of any size as a model's folder. Sizes are read from the tensors. A part alone is a beginning for "
        "training: the rest is fresh. With --base a LoRA adapter that PEFT wrote becomes part of one of our models; "
        "MotionLLM's motionllm.pth needs with it the language model that it adapts, and vqvae.pth beside it.",
        "motiongpt3 import --from motiongpt3.ckpt --statistics ~/HumanML3D --out models/official",
        overrides=True,
    )
    parser.add_argument(
        "--from", dest="source", type=user_path, required=True, metavar="PLACE", help="a file, a folder or a hub name"
    )
    parser.add_argument("--out", type=user_path, required=True, metavar="MODEL", help="folder of the model")
    parser.add_argument(
        "--config",
        type=user_path,
        default="",
        help="what tensors do not say (default: that of the published model that they belong to): of a MotionGPT3 "
        "model.decoder.attention_mode, heads, and model.latent_scale: 0.8457, or 0.7152 for models of the official "
        "code of August to October 2025; of a MotionGPT model.vqvae.dilation_growth",
    )
    parser.add_argument(
        "--tokenizer",
        type=user_path,
        metavar="PLACE",
        help="a folder or a hub name (default: beside the file, or that of the published model)",
    )
    parser.add_argument(
        "--statistics",
        type=user_path,
        metavar="PLACE",
        help="folder with Mean.npy and Std.npy, such as HumanML3D's; or a model's",
    )
    parser.add_argument(
        "--base",
        type=user_path,
        default="",
        metavar="MODEL",
        help="what the LoRA adapters adapt: one of our models, or of motionllm.pth a language model such as "
        "google/gemma-2-2b",
    )
    parser.add_argument("--adapter", default="default", metavar="NAME", help="the adapter's name there")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Writes the model, and says what was written and what comes next."""
    if arguments.base and not str(arguments.source).endswith(SUFFIXES):
        surplus = [name for name in ("config", "tokenizer", "statistics") if getattr(arguments, name)]
        if surplus or arguments.overrides:
            raise UserError(f"--{(surplus or ['config'])[0]} does not go with --base, whose model has all of that")
        folder = import_adapter(arguments.source, arguments.base, arguments.out, arguments.adapter)
        print_files(sorted(path for path in folder.path.rglob("*") if path.is_file()))
        print(next_step(folder, ""))
        return
    result = import_model(
        arguments.source,
        arguments.out,
        arguments.config,
        arguments.overrides,
        tokenizer=arguments.tokenizer,
        statistics=arguments.statistics,
        base=arguments.base,
    )
    for note in result.notes:
        print(note)
    print_files(sorted(path for path in result.folder.path.rglob("*") if path.is_file()))
    print(next_step(result.folder, result.config))
