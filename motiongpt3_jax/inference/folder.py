"""A model's folder: all that inference needs, nothing that needs a dataset.

config.json       the config that made the model, and the sizes that its data fixed
tokenizer/        the tokenizer's files
statistics.npz    mean and std of the features; offsets of the body that they were made with
checkpoints/      Orbax checkpoints, in a run's folder
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.motion import HUMANML3D, SKELETONS, Skeleton
from motiongpt3_jax.text import Tokenizer, load_tokenizer


@dataclass(frozen=True)
class Body:
    """What turns features into joints.

    Attributes:
      mean, std: statistics of the features.
      offsets: bones of the body that the features describe, metres.
      skeleton: which joints it has.
      fps: frames in a second.
    """

    mean: Float[np.ndarray, "features"]
    std: Float[np.ndarray, "features"]
    offsets: Float[np.ndarray, "joints 3"]
    skeleton: Skeleton = HUMANML3D
    fps: float = 20.0


@dataclass(frozen=True)
class ModelFolder:
    """What a model's folder says, apart from the parameters.

    Attributes:
      path: the folder.
      config: the whole config as plain values.
      tokenizer: text to ids.
      body: features to joints.
    """

    path: Path
    config: Mapping[str, Any]
    tokenizer: Tokenizer
    body: Body


def make_folder(path: str | Path, config: Mapping[str, Any], tokenizer: Tokenizer, body: Body) -> ModelFolder:
    """Writes a model's folder; `config.json` last, so that a folder that has it is complete."""
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    tokenizer.save(path / "tokenizer")
    fresh = path / "statistics.new.npz"
    np.savez(fresh, mean=body.mean, std=body.std, offsets=body.offsets)
    os.replace(fresh, path / "statistics.npz")
    text = json.dumps({"config": config, "skeleton": body.skeleton.name, "fps": body.fps}, indent=1)
    fresh = path / "config.json.new"
    fresh.write_text(text + "\n", encoding="utf-8")
    os.replace(fresh, path / "config.json")
    return ModelFolder(path, config, tokenizer, body)


def read_folder(path: str | Path) -> ModelFolder:
    """Reads a model's folder.

    Raises:
      FileNotFoundError: there is no folder, or it is not a model's.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"no model at {str(path)!r}: give the folder of a run (`motiongpt3 train --workdir`)")
    if not (path / "config.json").is_file():
        raise FileNotFoundError(f"{str(path)!r} is no model's folder: it has no config.json")
    said = json.loads((path / "config.json").read_text(encoding="utf-8"))
    with np.load(path / "statistics.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in ("mean", "std", "offsets")}
    body = Body(**arrays, skeleton=SKELETONS[said["skeleton"]], fps=said["fps"])
    return ModelFolder(path, plain(said["config"]), load_tokenizer(path / "tokenizer"), body)


def plain(value: Any) -> Any:
    """JSON values with every list as a tuple, as dataclasses want them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return tuple(plain(item) for item in value) if isinstance(value, list) else value
