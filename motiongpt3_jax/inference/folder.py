"""A model's folder: all that inference needs, nothing that needs a dataset.

config.json       the config that made the model, the sizes that its data fixed, and SHA-256 digests of the files
tokenizer/        the tokenizer's files
words.json        the words of its training captions, and two of those; where they are known
statistics.npz    mean and std of the features; offsets of the body that they were made with; lengths of its clips
checkpoints/      Orbax checkpoints, in a run's folder
model.safetensors the weights, in an exported model's folder
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from motiongpt3_jax import hub
from motiongpt3_jax.errors import UserError, cause
from motiongpt3_jax.inference.caption_words import WORDS, CaptionWords, read_words, write_words
from motiongpt3_jax.inference.check_folder import ANEW, check_folder_config, check_statistics
from motiongpt3_jax.inference.digests import CONFIG, SHA256, check_file_digest, with_digests
from motiongpt3_jax.mirror import local_folder
from motiongpt3_jax.motion import HUMANML3D, SKELETONS, Skeleton
from motiongpt3_jax.motion.lfs import refuse_lfs_pointer
from motiongpt3_jax.motion.saving import whole_file
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.kind import SystemKind
from motiongpt3_jax.systems.registry import find_system
from motiongpt3_jax.text import Tokenizer, load_tokenizer

STATISTICS = "statistics.npz"
"""The file with mean, std and bones."""

TOKENIZER = "tokenizer/tokenizer.json"
"""The file with the tokenizer."""

FORMAT = 2
"""Of a model's folder, in its `config.json`; the first has none written there."""

MOST_BYTES = 10**7
"""More than the statistics of any skeleton take."""


ARRAYS = ("mean", "std", "offsets", "lengths")
"""Arrays of the file of statistics."""


@dataclass(frozen=True)
class MotionStatistics:
    """Feature statistics and bone lengths: what turns features into joints.

    Attributes:
      mean, std: statistics of the features.
      offsets: bones of the body that the features describe, metres.
      skeleton: which joints it has.
      fps: frames in a second.
      lengths: quantiles of the training clips' frames, evenly spaced from the shortest to the longest; empty when
        they are not known.
    """

    mean: Float[np.ndarray, "features"]
    std: Float[np.ndarray, "features"]
    offsets: Float[np.ndarray, "joints 3"]
    skeleton: Skeleton = HUMANML3D
    fps: float = 20.0
    lengths: Float[np.ndarray, "quantiles"] = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class ModelFolder:
    """What a model's folder says, apart from the parameters.

    Attributes:
      path: the folder.
      config: the whole config as plain values.
      tokenizer: text to ids; None where the system has none.
      statistics: features to joints.
      untrained: parts of the model that are as fresh as at the start of training, see `Weights.parts`.
      questions: how the model is asked, by task, with placeholders; where it does not say, its templates do.
      words: those of its training captions; None where they are not known, as in older and imported models.
      learned: tasks that the model it started from had been trained on.
      sha256: digests of the folder's files when they were written; empty in folders of earlier versions.
    """

    path: Path
    config: Mapping[str, Any]
    tokenizer: Tokenizer | None
    statistics: MotionStatistics
    untrained: tuple[str, ...] = ()
    questions: Mapping[str, str] = field(default_factory=dict)
    words: CaptionWords | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    learned: tuple[str, ...] = ()

    @property
    def kind(self) -> SystemKind:
        """The system that the config names."""
        return find_system(self.config["system"])

    @property
    def spec(self) -> ModelSpec:
        """What fixes the model."""
        return ModelSpec(self.config, len(self.statistics.mean), self.tokenizer, self.statistics.fps)

    @property
    def training_frames(self) -> tuple[int, int]:
        """Frames of the shortest and of the longest clip of the training, as far as that is known."""
        lengths, data = self.statistics.lengths, self.config["data"]
        if len(lengths):
            return round(float(min(lengths))), round(float(max(lengths)))
        return data["min_frames"], data["max_frames"]

    def require_trained(self) -> None:
        """Raises UserError when the model cannot answer yet, because parts of it are untrained."""
        if self.untrained:
            raise UserError(
                f"'{self.path}' cannot answer yet; not trained: {', '.join(self.untrained)}. Train from it: "
                f"motiongpt3 train --config.start={self.path} --config CONFIG --workdir RUN"
            )


HUB_FILES = ("config.json", "statistics.npz", WORDS, "tokenizer/*", "model.safetensors", "README.md")
"""What an exported model is made of."""


def resolve_model(name_or_path: str | Path) -> Path:
    """The folder of a model: a local one, or the local copy of one on the Hugging Face hub (`user/name`) or a store.

    Raises:
      FileNotFoundError: there is neither.
    """
    name = os.fspath(name_or_path)
    path = local_folder(name)
    # Where the first part is a folder here, a wrong path is likelier than a name on the hub.
    if path.exists() or not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) or path.parent.exists():
        return path
    try:
        return Path(hub.snapshot(name, HUB_FILES))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no model at {name!r}: there is no such folder, and {error}") from error


def make_folder(
    path: str | Path,
    config: Mapping[str, Any],
    tokenizer: Tokenizer | None,
    statistics: MotionStatistics,
    untrained: tuple[str, ...] = (),
    questions: Mapping[str, str] | None = None,
    words: CaptionWords | None = None,
    weights: Sequence[str] = (),
    learned: tuple[str, ...] = (),
) -> ModelFolder:
    """Writes a model's folder; `config.json` last, so that a folder that has it is complete.

    Args:
      path: the folder.
      config: the whole config as plain values.
      tokenizer: text to ids.
      statistics: features to joints.
      untrained, questions, words, learned: see `ModelFolder`.
      weights: names of files that lie there already and belong to the model.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None:
        tokenizer.save(path / "tokenizer")
    write_words(path, words)
    with whole_file(path / STATISTICS, ".npz") as fresh:
        arrays = {name: getattr(statistics, name) for name in ARRAYS}
        np.savez(fresh, **arrays)
    config_json = {"format": FORMAT, "config": config, "skeleton": statistics.skeleton.name, "fps": statistics.fps}
    if untrained:
        config_json["untrained"] = untrained
    if questions:
        config_json["questions"] = dict(questions)
    if learned:
        config_json["learned"] = learned
    files = [STATISTICS, *weights] if tokenizer is None else [STATISTICS, TOKENIZER, *weights]
    config_json = with_digests(config_json, path, files)
    with whole_file(path / CONFIG, ".json") as fresh:
        fresh.write_text(json.dumps(config_json, indent=1) + "\n", encoding="utf-8")
    digests = config_json[SHA256]
    return ModelFolder(path, config, tokenizer, statistics, untrained, questions or {}, words, digests, learned)


def read_folder(path: str | Path) -> ModelFolder:
    """Reads a model's folder.

    Raises:
      FileNotFoundError: there is no folder, or it is not a model's.
      UserError: its config is another program's; or a file is damaged, or not as it was written; says which.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(
            f"no model at {str(path)!r}: give the folder of a run or of an exported model, or a hub name"
        )
    if not (path / CONFIG).is_file():
        raise FileNotFoundError(f"{str(path)!r} is no model's folder: it has no config.json")
    for name in (CONFIG, STATISTICS, TOKENIZER, WORDS):
        refuse_lfs_pointer(path / name, f"'{path / name}'")
    config_json = _read_config(path / CONFIG)
    digests, skeleton = config_json.get(SHA256, {}), SKELETONS[config_json["skeleton"]]
    arrays = _read_statistics(path / STATISTICS)
    check_statistics(path / STATISTICS, arrays, skeleton)
    for name in (STATISTICS, TOKENIZER):
        check_file_digest(path, name, digests)
    config = plain(config_json["config"])
    kind = find_system(config["system"])
    tokenizer = load_tokenizer(path / "tokenizer", kind.tokens(config)) if kind.tokens is not None else None
    statistics = MotionStatistics(**arrays, skeleton=skeleton, fps=config_json["fps"])
    untrained, learned = (plain(config_json.get(name, [])) for name in ("untrained", "learned"))
    questions, words = config_json.get("questions", {}), read_words(path)
    return ModelFolder(path, config, tokenizer, statistics, untrained, questions, words, digests, learned)


def _read_statistics(path: Path) -> dict[str, np.ndarray]:
    """The arrays that are needed; those of a skeleton are small."""
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            if sum(member.file_size for member in file.zip.infolist()) > MOST_BYTES:
                raise UserError("it unpacks to more than any statistics hold")
            return {name: file[name] for name in ARRAYS if name in file}
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no '{path}': the model is incomplete; {ANEW}") from None
    except Exception as error:  # a damaged file fails in any way
        raise UserError(f"'{path}' is damaged ({cause(error)}); {ANEW}") from None


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config_json = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is damaged ({error}); {ANEW}") from None
    return check_folder_config(path, config_json)


def plain(value: Any) -> Any:
    """JSON values with every list as a tuple, as dataclasses want them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return tuple(plain(item) for item in value) if isinstance(value, list) else value
