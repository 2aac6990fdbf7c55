"""What a run starts from, where its parameters are not all fresh: another model's folder, a GPT-2."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax

from motiongpt3_jax.commands.check_config import trained_size
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.engine import make_system
from motiongpt3_jax.inference.folder import Body, ModelFolder, read_folder, resolve_model
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.interop import from_gpt2, read_gpt2
from motiongpt3_jax.interop.parts import PARTS, differences, of_parts
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3
from motiongpt3_jax.systems.motiongpt3.build import build_config
from motiongpt3_jax.text import Tokenizer, load_tokenizer
from motiongpt3_jax.training.partition import merge


def open_start(config: Mapping[str, Any]) -> ModelFolder | None:
    """The folder of the model that a run starts from; None when it starts afresh.

    Raises:
      FileNotFoundError: there is no such model.
      UserError: a part that comes trained has other sizes than the config; says what to set.
    """
    if not config["start"]:
        return None
    folder = read_folder(resolve_model(config["start"]))
    wrong = differences(folder.config["model"], config["model"], trained_parts(folder))
    if wrong:
        raise UserError(f"--config.start={config['start']}: it has other sizes than the config; add {' '.join(wrong)}")
    return folder


def open_beginnings(config: Mapping[str, Any]) -> tuple[ModelFolder | None, Tokenizer | None]:
    """(the model that a run starts from, the tokenizer that is named), each None where the config names none.

    Weights are read to the end, so that what is wrong with them is said before data are built.

    Raises:
      FileNotFoundError: one of them is not there.
      UserError: one of them is damaged, or does not fit the config.
    """
    start = open_start(config)
    if start:
        read_variables(start, make_system(start).config)
    named = None if trained_size(config["tokenizer"]) else load_tokenizer(config["tokenizer"])
    if config["pretrained"]:
        # The text branch depends on the vocabulary, and not on the features.
        sizes = build_config(config["model"], features=1, vocabulary=named.base_vocabulary)
        from_gpt2(read_gpt2(config["pretrained"]), sizes)
    return start, named


def trained_parts(folder: ModelFolder) -> tuple[str, ...]:
    """The parts of a model that were trained: "vae", "text", "motion"."""
    return tuple(part for part in PARTS if part not in folder.untrained)


def of_start(start: ModelFolder, tokenizer: Tokenizer, body: Body) -> tuple[Tokenizer, Body]:
    """The run's tokenizer and body, of which those that trained parts were trained with stay as they are.

    A text branch keeps its ids, and a VAE the statistics of its features; the bones are those of the run's own clips.

    Raises:
      UserError: the model's features are those of another skeleton.
    """
    parts = trained_parts(start)
    if "text" in parts:
        tokenizer = start.tokenizer
    if "vae" in parts:
        if start.body.skeleton.name != body.skeleton.name:
            raise UserError(
                f"--config.start: its features are of the {start.body.skeleton.name} skeleton, the data's of "
                f"{body.skeleton.name}"
            )
        body = replace(body, mean=start.body.mean, std=start.body.std)
    return tokenizer, body


def begins_trained(config: Mapping[str, Any]) -> bool:
    """Whether a run starts from anything but fresh variables."""
    return bool(config["start"] or config["pretrained"])


def beginning(system: MotionGPT3, config: Mapping[str, Any], key: jax.Array) -> Variables:
    """Fresh variables, with the trained parts of `config["start"]`, and `config["pretrained"]` as the text branch."""
    variables = jax.jit(system.init)(key)
    start = open_start(config)
    if start:
        parts = trained_parts(start)
        _, _, found = read_variables(start, make_system(start).config)
        variables = variables.replace(params=merge(of_parts(found.params, parts), variables.params))
        if "vae" in parts:
            variables = variables.replace(state=found.state)
    if config["pretrained"]:
        text = from_gpt2(read_gpt2(config["pretrained"]), system.config)
        variables = variables.replace(params=merge(text, variables.params))
    return variables
