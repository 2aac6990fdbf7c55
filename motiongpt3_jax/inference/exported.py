"""Export of a model to a folder: safetensors, config, tokenizer, statistics and a model card.

It answers, may start a training, and can be pushed to the hub as it is.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from huggingface_hub import ModelCardData

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.check_folder import is_question
from motiongpt3_jax.inference.folder import ModelFolder, make_folder
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.inference.weights import WEIGHTS, write_weights
from motiongpt3_jax.systems.interface import Variables

ALWAYS = ("generate", "caption")
"""Roles whose questions an exported model brings along in any case; of the others those that it was trained on."""

PLACES = ("tokenizer", "pretrained", "start")
"""Values of a config that may name a folder of the machine that trained."""

CARD = """---
{front}
---

# {title}

A {kind} that turns sentences into human motions and motions into sentences: {parameters:.1f} million parameters, the
{skeleton} skeleton at {fps:g} frames a second, motions of {seconds} s. Its weights are those of stage `{stage}` at
step {step}.
{untrained}
```
motiongpt3 generate --model USER/NAME --text "a person walks forward" --out motions
motiongpt3 caption --model USER/NAME --motion motions/motion_000.npy
```

`model.safetensors` holds the parameters by their paths in the JAX model, float32.{formats}
"""
FORMATS = " `motiongpt3 export --format {}` makes a checkpoint of the official code of them."
UNTRAINED = "\nNot trained yet: {}. This model is a beginning for `motiongpt3 train --config.start=USER/NAME`.\n"


def require_free(out: str | Path) -> Path:
    """The folder that an exported model may be written to: new, empty, or that of an exported model.

    Raises:
      FileExistsError: something else lies there.
      UserError: the folder has no name.
    """
    if not str(out):
        raise UserError("--out is empty; give a folder")
    path = Path(os.path.expanduser(out))
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"--out {out}: a file stands there; give a folder")
    if path.is_dir() and any(path.iterdir()) and (not (path / WEIGHTS).is_file() or (path / "checkpoints").exists()):
        raise FileExistsError(f"--out {out}: the folder holds something else than an exported model; give a new one")
    return path


def write_exported(
    out: str | Path,
    folder: ModelFolder,
    variables: Variables,
    trained: tuple[str, int],
) -> ModelFolder:
    """Writes an exported model; while it is incomplete it has no `config.json`, and so is no model.

    Args:
      out: the folder.
      folder: the model whose config, tokenizer and body these are.
      variables: its arrays.
      trained: the stage and step that they come from.

    Raises:
      FileExistsError: the folder holds something else.
    """
    out = require_free(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").unlink(missing_ok=True)
    write_weights(out / WEIGHTS, variables, folder.kind.name, trained)
    (out / "README.md").write_text(model_card(folder, variables, trained, out.name), encoding="utf-8")
    prompts, tasks = Prompts.of(folder, trained[0]), folder.kind.tasks
    names = [name for name, task in tasks.items() if task.question and (task.role in ALWAYS or prompts.knows(name))]
    # Templates name the one motion of a question in two ways.
    questions = {}
    for name in names:
        question = prompts.template(name).replace("<Motion_Placeholder_s1>", "<Motion_Placeholder>")
        if is_question(name, question, folder.kind):
            questions[name] = question
    config = without_local_paths(folder.config)
    return make_folder(
        out,
        config,
        folder.tokenizer,
        folder.statistics,
        folder.untrained,
        questions,
        folder.words,
        weights=(WEIGHTS,),
        learned=folder.learned,
    )


def without_local_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config to share: without the folders of the machine that it was used on."""
    data = {**config["data"], "path": ""}
    places = {name: Path(config[name]).name for name in PLACES if _is_place(config.get(name, ""))}
    stages = {name: _without_folder(stage) for name, stage in config["stages"].items()}
    return {**config, "data": data, "stages": stages, **places}


def _without_folder(stage: Mapping[str, Any]) -> dict[str, Any]:
    """A stage whose file of templates is named alone: an exported model brings its questions along."""
    return {**stage, "templates": Path(stage["templates"]).name} if stage.get("templates") else dict(stage)


def _is_place(name: str) -> bool:
    return name.startswith(("/", ".", "~")) or name.count("/") > 1 or (bool(name) and Path(name).is_dir())


def model_card(folder: ModelFolder, variables: Variables, trained: tuple[str, int], title: str = "") -> str:
    """The README of a model on the hub."""
    kind = folder.kind
    tags = [kind.name, "text-to-motion", "motion-to-text", "human-motion", "jax"]
    front = ModelCardData(library_name="motiongpt3_jax", pipeline_tag="text-to-3d", tags=tags, language="en")
    return CARD.format(
        front=front.to_yaml(),
        title=title or kind.title,
        kind=kind.describe(folder.config),
        formats="".join(map(FORMATS.format, kind.weights.exporters)),
        parameters=sum(math.prod(np.shape(array)) for array in jax.tree.leaves(variables.params)) / 1e6,
        skeleton=folder.statistics.skeleton.name,
        fps=folder.statistics.fps,
        seconds=" to ".join(dict.fromkeys(f"{count / folder.statistics.fps:.1f}" for count in folder.training_frames)),
        stage=trained[0],
        step=trained[1],
        untrained=UNTRAINED.format(", ".join(folder.untrained)) if folder.untrained else "",
    )
