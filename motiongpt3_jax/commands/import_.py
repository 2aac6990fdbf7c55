"""Weights of the official MotionGPT3, of MLD's VAE or of a GPT-2 as a model's folder."""

import argparse
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from motiongpt3_jax.commands.arguments import command_parser, require_room, user_path
from motiongpt3_jax.commands.beginning import trained_parts
from motiongpt3_jax.commands.check_config import check_config
from motiongpt3_jax.commands.export import say_written
from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.engine import make_system
from motiongpt3_jax.inference.exported import require_free, write_exported
from motiongpt3_jax.inference.folder import Body, ModelFolder, plain, read_folder
from motiongpt3_jax.inference.prompts import BARE
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.interop import entries, from_gpt2, from_official, to_official
from motiongpt3_jax.interop.bodies import NEEDED, read_body
from motiongpt3_jax.interop.checkpoint_files import as_float32, read_state_dict
from motiongpt3_jax.interop.latents import OFFICIAL_SCALE
from motiongpt3_jax.interop.official import require_fit
from motiongpt3_jax.interop.parts import KINDS, PARTS, differences
from motiongpt3_jax.interop.recognise import Found, Sizes, recognised, sizes_of
from motiongpt3_jax.interop.sources import find_source
from motiongpt3_jax.motion import HUMANML3D
from motiongpt3_jax.systems.interface import Tree
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3
from motiongpt3_jax.systems.motiongpt3.modules import latent_state
from motiongpt3_jax.text import load_tokenizer
from motiongpt3_jax.training.partition import merge

GPT2, GPT2_HEAD = "openai-community/gpt2", 64
"""The tokenizer that official models have, and the width of the heads of every GPT-2."""


class Imported(NamedTuple):
    """What is written: a folder's content, the tensors by their official names, the state, (stage, step)."""

    folder: ModelFolder
    tensors: dict[str, np.ndarray]
    state: Tree
    trained: tuple[str, int]


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = command_parser(
        "import",
        "A checkpoint of the official MotionGPT3, of MLD's motion VAE or of a GPT-2 of any size as a model's folder. "
        "Sizes are read from the tensors. A VAE or a GPT-2 alone is a beginning for training: the rest is fresh.",
        "motiongpt3 import --from motiongpt3.ckpt --statistics ~/HumanML3D --out models/official",
        overrides=True,
    )
    found.add_argument(
        "--from", dest="source", type=user_path, required=True, metavar="PLACE", help="a file, a folder or a hub name"
    )
    found.add_argument("--out", type=user_path, required=True, metavar="MODEL", help="folder of the model")
    found.add_argument(
        "--config",
        type=user_path,
        default="motiongpt3:base:official",
        help="what tensors do not say (default: motiongpt3:base:official): model.decoder.attention_mode, heads, "
        "and model.latent_scale: 0.8457, or 0.7152 for models of the official code of August to October 2025",
    )
    found.add_argument("--tokenizer", type=user_path, metavar="PLACE", help=f"a folder or a hub name (default: {GPT2})")
    found.add_argument(
        "--statistics",
        type=user_path,
        metavar="PLACE",
        help="folder with Mean.npy and Std.npy, such as HumanML3D's; or a model's",
    )
    return found


def run(arguments: argparse.Namespace) -> None:
    """Reads, checks, writes, and says what was written and what comes next."""
    out = require_free(arguments.out)
    require_room("--out", out, "a folder")
    config = load_config(arguments.config, arguments.overrides)
    check_config(plain(config.to_dict()))
    source = find_source(arguments.source)
    made = from_model(source) if source.is_dir() else from_tensors(source, config, arguments)
    write_exported(out, *made)
    say_written(sorted(path for path in out.rglob("*") if path.is_file()))
    print(next_step(made.folder, out, arguments.config))


def from_model(source: Path) -> Imported:
    """A run or an exported model as it is."""
    folder = read_folder(source)
    config = make_system(folder).config
    stage, step, variables = read_variables(folder, config)
    return Imported(folder, to_official(variables.params, config), variables.state, (stage, step))


def from_tensors(source: Path, config: ConfigDict, arguments: argparse.Namespace) -> Imported:
    """The model in a file of tensors.

    Raises:
      UserError: the tensors fit no model, or the statistics or the tokenizer do not fit them; says which.
    """
    found = recognised(read_state_dict(source))
    tensors, note = as_float32(found.tensors)
    if note:
        print(note)
    found = Found(found.kind, tensors)
    folder = described(source, found, config, arguments)
    system = make_system(folder)
    return Imported(folder, official(found, system), latent_state(system.config), ("imported", 0))


def described(source: Path, found: Found, config: ConfigDict, arguments: argparse.Namespace) -> ModelFolder:
    """The config, tokenizer and body of a file of tensors."""
    sizes = sizes_of(found)
    config = sized(config, sizes, arguments.overrides)
    beside = any((source.parent / name).is_file() for name in ("tokenizer.json", "vocab.json"))
    name = arguments.tokenizer or (str(source.parent) if beside else GPT2)
    tokenizer = load_tokenizer(name)
    if sizes.vocabulary not in (None, tokenizer.base_vocabulary):
        raise UserError(
            f"{source} has {sizes.vocabulary} ids, and the tokenizer {name!r} {tokenizer.base_vocabulary}: give the "
            "one that it was trained with as --tokenizer"
        )
    config.tokenizer = name
    untrained = tuple(part for part in PARTS if part not in KINDS[found.kind])
    body = find_body(source, sizes, arguments)
    # The templates here are not those that it was trained with; the bare questions are.
    questions = {"t2m": BARE["t2m"], "m2t": BARE["m2t"]}
    return ModelFolder(source, plain(config.to_dict()), tokenizer, body, untrained, questions)


def sized(config: ConfigDict, sizes: Sizes, overrides: list[str]) -> ConfigDict:
    """The config with the sizes that the tensors have.

    Raises:
      UserError: nothing says how many heads the decoder has.
    """
    decoder, model = config.model.decoder, config.model
    width = sizes.model.get("decoder", decoder)["width"]
    if width != decoder.width and not any(text.startswith("model.decoder.heads=") for text in overrides):
        if width % GPT2_HEAD:
            raise UserError(f"the decoder is {width} wide; say how many heads it has: --config.model.decoder.heads=N")
        decoder.heads = width // GPT2_HEAD
        print(f"assumed {decoder.heads} heads in the decoder, each 64 wide; else give --config.model.decoder.heads=N")
    for section, values in sizes.model.items():
        model[section].update(values)
    if model.latent_scale is None:
        with config.ignore_type():
            model.latent_scale = OFFICIAL_SCALE
    return config


def find_body(source: Path, sizes: Sizes, arguments: argparse.Namespace) -> Body:
    """The statistics that were given, or lie beside the file; nothing in their place for a model without a VAE.

    Raises:
      UserError: there are none, or they are of another number of features.
    """
    beside = source.with_name(f"{source.stem}_Mean.npy")
    place = arguments.statistics or (beside if beside.is_file() else None)
    if sizes.features is None and place is None:
        count, joints = HUMANML3D.features, len(HUMANML3D.joints)
        return Body(np.zeros(count, np.float32), np.ones(count, np.float32), np.zeros((joints, 3), np.float32))
    if place is None:
        raise UserError(NEEDED)
    body = read_body(place)
    if sizes.features not in (None, len(body.mean)):
        raise UserError(f"{source} has {sizes.features} features a frame, and --statistics {place} {len(body.mean)}")
    return body


def official(found: Found, system: MotionGPT3) -> dict[str, np.ndarray]:
    """All tensors of the model by their official names: those that were found, the rest fresh.

    Raises:
      UserError: names everything that is missing, unexpected or of another shape.
    """
    if found.kind == "whole":
        table = entries(system.config)
        require_fit(found.tensors, table)
        absent = {entry.key: np.zeros(entry.shape, np.float32) for entry in table if entry.optional}
        return absent | found.tensors
    if found.kind == "vae":
        params = from_official(found.tensors, system.config, prefix="vae.")
    else:
        params = from_gpt2(found.tensors, system.config)
    fresh = jax.jit(system.init)(jax.random.key(0)).params
    return to_official(merge(params, fresh), system.config)


def next_step(folder: ModelFolder, out: Path, config: str) -> str:
    """What can be done with the model."""
    if not folder.untrained:
        return f'imported; next: motiongpt3 generate --model {out} --text "a person walks" --out motions'
    parts, wanted = trained_parts(folder), load_config(config).to_dict()
    run = tuple(name for name in plain(wanted["run"]) if name not in parts)
    asked = [f"--config {config}", *differences(folder.config["model"], plain(wanted["model"]), parts)]
    asked += [f"--config.start={out}", f'--config.run="{run}"', "--workdir RUN"]
    return f"imported: {', '.join(parts)}; next: motiongpt3 train {' '.join(asked)}"
