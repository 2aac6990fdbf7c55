"""Writes an exported model: a folder that answers, may start a training, and can be pushed to the hub as it is."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import ModelCardData

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.check_folder import is_question
from motiongpt3_jax.inference.folder import ModelFolder, make_folder
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.inference.weights import WEIGHTS, write_weights
from motiongpt3_jax.interop import TIED

ASKED = ("t2m", "m2t", "n2m", "predict", "inbetween")
"""Tasks whose questions an exported model brings along, for readers that have not its templates."""

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

`model.safetensors` holds the parameters by the names of the official MotionGPT3 and in PyTorch's layout;
`motiongpt3 export --format pytorch` makes its checkpoint of them.
"""
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
    tensors: Mapping[str, np.ndarray],
    state: Mapping[str, np.ndarray],
    trained: tuple[str, int],
) -> ModelFolder:
    """Writes an exported model; while it is incomplete it has no `config.json`, and so is no model.

    Args:
      out: the folder.
      folder: the model whose config, tokenizer and body these are.
      tensors: the parameters by their official names.
      state: the system's state.
      trained: the stage and step that they come from.

    Raises:
      FileExistsError: the folder holds something else.
    """
    out = require_free(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").unlink(missing_ok=True)
    write_weights(out / WEIGHTS, tensors, state, trained)
    (out / "README.md").write_text(model_card(folder, tensors, trained, out.name), encoding="utf-8")
    prompts = Prompts.of(folder.config, trained[0], folder.questions)
    known = [task for task in ASKED if task in ("t2m", "m2t") or prompts.knows(task)]
    # Templates name the one motion of a question in two ways.
    asked = {task: prompts.template(task).replace("<Motion_Placeholder_s1>", "<Motion_Placeholder>") for task in known}
    asked = {task: question for task, question in asked.items() if is_question(task, question)}
    config = shareable(folder.config)
    return make_folder(
        out, config, folder.tokenizer, folder.body, folder.untrained, asked, folder.words, weights=(WEIGHTS,)
    )


def shareable(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config without the folders of the machine that it was used on."""
    data = {**config["data"], "path": ""}
    places = {name: Path(config[name]).name for name in PLACES if _is_place(config.get(name, ""))}
    return {**config, "data": data, **places}


def _is_place(name: str) -> bool:
    return name.startswith(("/", ".", "~")) or name.count("/") > 1 or (bool(name) and Path(name).is_dir())


def model_card(
    folder: ModelFolder, tensors: Mapping[str, np.ndarray], trained: tuple[str, int], title: str = "MotionGPT3"
) -> str:
    """The README of a model on the hub."""
    tags = ["motiongpt3", "text-to-motion", "motion-to-text", "human-motion", "jax"]
    front = ModelCardData(library_name="motiongpt3_jax", pipeline_tag="text-to-3d", tags=tags, language="en")
    frames = [folder.config["data"][name] for name in ("min_frames", "max_frames")]
    return CARD.format(
        front=front.to_yaml(),
        title=title,
        kind="MotionGPT3 trained as a rectified flow" if folder.config["model"]["flow"] else "MotionGPT3",
        parameters=sum(tensor.size for name, tensor in tensors.items() if name not in TIED) / 1e6,
        skeleton=folder.body.skeleton.name,
        fps=folder.body.fps,
        seconds=" to ".join(dict.fromkeys(f"{count / folder.body.fps:.1f}" for count in frames)),
        stage=trained[0],
        step=trained[1],
        untrained=UNTRAINED.format(", ".join(folder.untrained)) if folder.untrained else "",
    )
