"""What a run starts from, where its parameters are not all fresh: another model's folder, a published model."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import stages_to_run, trained_tokenizer
from motiongpt3_jax.experiment.config import RunConfig
from motiongpt3_jax.inference.folder import ModelFolder, MotionStatistics, plain, read_folder, resolve_model
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.inference.weights import WEIGHTS, open_variables
from motiongpt3_jax.mirror import store_of
from motiongpt3_jax.systems.interface import ModelSpec, Variables
from motiongpt3_jax.systems.parts import base_patterns, differences, of_parts, part_patterns
from motiongpt3_jax.systems.registry import find_system
from motiongpt3_jax.systems.shapes import array_shapes
from motiongpt3_jax.text import Tokenizer, load_tokenizer
from motiongpt3_jax.training.partition import matches, merge
from motiongpt3_jax.training.references import Outside


def open_start(config: RunConfig) -> ModelFolder | None:
    """The folder of the model that a run starts from; None when it starts afresh.

    Raises:
      FileNotFoundError: there is no such model.
      UserError: a part that comes trained has other sizes than the config; says what to set.
    """
    if not config.start:
        return None
    folder = read_folder(resolve_model(config.start))
    if folder.kind is not find_system(config.system):
        raise UserError(f"--config.start={config.start}: it is a {folder.kind.title}, the config another system's")
    wrong = differences(folder.config["model"], config.model, trained_parts(folder), folder.kind.weights)
    if wrong:
        raise UserError(f"--config.start={config.start}: it has other sizes than the config; add {shlex.join(wrong)}")
    ours = config.model.get("lora", {})
    for name, adapter in adapters_of(folder).items():
        if any(adapter[key] != ours.get(name, {}).get(key) for key in ("rank", "alpha", "targets")):
            raise UserError(
                f"--config.start={config.start}: it has an adapter {name!r}, which config.model.lora has not, or with "
                f"another rank, alpha or targets: give it the same, or merge it (`motiongpt3 export --adapter {name}`)"
            )
    return folder


def adapters_of(folder: ModelFolder) -> Mapping[str, Any]:
    """The LoRA adapters of a model, as its config says them."""
    return plain(folder.config["model"].get("lora", {}))


def open_beginnings(config: RunConfig) -> tuple[ModelFolder | None, Tokenizer | None]:
    """(the model that a run starts from, the tokenizer that is named), each None where the config names none.

    A model that the run starts from is read to the end, of a published one names and shapes, so that what is wrong with
    them is said before data are built.

    Raises:
      FileNotFoundError: one of them is not there.
      UserError: one of them is damaged, or does not fit the config.
    """
    start, kind = open_start(config), find_system(config.system)
    if start:
        open_variables(start)
    named = None
    if kind.tokens is not None and not trained_tokenizer(config.tokenizer):
        named = load_tokenizer(config.tokenizer, kind.tokens(config.values))
    if config.pretrained:
        # What is pretrained depends on the vocabulary, and not on the features.
        kind.weights.pretrained(config.pretrained, ModelSpec(config.values, 1, named))
    return start, named


def trained_parts(folder: ModelFolder) -> tuple[str, ...]:
    """The parts of a model that it has and that were trained, see `Weights.parts`."""
    parts, names = folder.kind.weights.parts, array_shapes(folder.kind, folder.spec)
    there = {next((part for part, pattern in parts.items() if re.fullmatch(pattern, name)), None) for name in names}
    return tuple(part for part in parts if part in there and part not in folder.untrained)


def learned_tasks(config: RunConfig, start: ModelFolder | None) -> tuple[str, ...]:
    """The tasks of the model that a run starts from, as far as it can keep them.

    There are none where the part that reads captions is fresh, nor where the run trains what encodes motions: then
    latents and codes mean something else.
    """
    if start is None or start.kind.weights.captions_part in start.untrained:
        return ()
    encoder = start.kind.weights.parts[start.kind.weights.statistics_part]
    names = [name for name in array_shapes(start.kind, start.spec) if re.fullmatch(encoder, name)]
    trainable = [config.stages[stage].trainable for stage in stages_to_run(config)]
    if any(matches(name, patterns) for patterns in trainable for name in names):
        return ()
    prompts = Prompts.of(start, "")
    return tuple(task for task in start.kind.tasks if prompts.knows(task))


def of_start(
    start: ModelFolder, tokenizer: Tokenizer | None, statistics: MotionStatistics
) -> tuple[Tokenizer | None, MotionStatistics]:
    """The run's tokenizer and statistics, of which those that trained parts were trained with stay as they are.

    A text branch keeps its ids, and a VAE the statistics of its features; the bones are those of the run's own clips.

    Raises:
      UserError: the model's features are those of another skeleton.
    """
    parts, weights = trained_parts(start), start.kind.weights
    if weights.tokenizer_part in parts:
        tokenizer = start.tokenizer
    if weights.statistics_part in parts:
        if start.statistics.skeleton.name != statistics.skeleton.name:
            raise UserError(
                f"--config.start: its features are of the {start.statistics.skeleton.name} skeleton, the data's of "
                f"{statistics.skeleton.name}"
            )
        statistics = replace(statistics, mean=start.statistics.mean, std=start.statistics.std)
    return tokenizer, statistics


def begins_trained(config: RunConfig) -> bool:
    """Whether a run starts from anything but fresh variables."""
    return bool(config.start or config.pretrained)


def beginning(config: RunConfig, spec: ModelSpec, key: jax.Array) -> Variables:
    """The trained parts of `config.start`, and over them what `config.pretrained` has trained: no others."""
    del key
    variables = Variables({}, {})
    start, weights = open_start(config), find_system(config.system).weights
    if start:
        parts = trained_parts(start)
        _, _, trained = open_variables(start)
        state = trained.state if weights.state_part in parts else {}
        variables = Variables(of_parts(trained.params, parts, weights), state)
    if config.pretrained:
        variables = variables.replace(params=merge(weights.pretrained(config.pretrained, spec), variables.params))
    return variables


def outside_weights(config: RunConfig) -> tuple[Outside, ...]:
    """Weights that a run begins with and refers to where they lie: a pretrained model's, an exported model's.

    Another run's, which may go on, are copied instead.
    """
    places, weights = [], find_system(config.system).weights
    if config.pretrained:
        files = weights.pretrained_files(config.pretrained)
        patterns = base_patterns(part_patterns(weights, (weights.pretrained_part,)))
        names = tuple(file.name for file in files)
        places.append(Outside(patterns, files[0].parent, names, config.pretrained))
    start = open_start(config)
    # What a mirror of a store holds is copied as well: another machine has none.
    if start and not store_of(start.path) and not (start.path / "checkpoints").is_dir():
        patterns = base_patterns(part_patterns(weights, trained_parts(start)), adapters_of(start))
        places.append(Outside(patterns, start.path, (WEIGHTS,), config.start))
    return tuple(places)
