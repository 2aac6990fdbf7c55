"""The small files beside the records of a built folder, checked when they are read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motiongpt3_jax.data_pipelines.statistics import check_arrays
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import SKELETONS, Skeleton
from motiongpt3_jax.motion.arrays import Archive, UnreadableArrayError
from motiongpt3_jax.motion.lfs import refuse_lfs_pointer
from motiongpt3_jax.motion.motion import positive

FORMAT = 2
"""Of a built folder. Clips of format 1 have one person and no named numbers; they are read as they are."""

METADATA = "metadata.json"
"""The file of a built folder that says what it holds."""

STATISTICS = "statistics.npz"
"""The file with mean, std and bones."""

INDEX = "index_{}.json"
"""The file that lists the clips of a split."""

BUILD_IT = "build it with `motiongpt3 data build`"

_COLUMNS: Mapping[str, Callable[[Any], bool]] = {
    "ids": lambda value: isinstance(value, str),
    "frames": lambda value: type(value) is int and value > 0,
    "captions": lambda value: isinstance(value, list) and all(isinstance(text, str) for text in value),
    "persons": lambda value: type(value) is int and value > 0,
    "numbers": lambda value: isinstance(value, dict) and all(isinstance(row, list) for row in value.values()),
}
"""What an index holds of every clip."""


@dataclass(frozen=True)
class Metadata:
    """What a built folder says of itself.

    Attributes:
      source: name of the source.
      skeleton: name of the skeleton.
      fps: frames in a second.
      features: numbers in a frame.
      clips: how many each split has.
      options: what the source was asked for.
      skipped: what was left out, and why; a sentence each.
      format: version of the layout of the folder.
    """

    source: str
    skeleton: str
    fps: float
    features: int
    clips: dict[str, int]
    options: dict[str, Any]
    skipped: list[str]
    format: int = FORMAT


def read_metadata(file: Path) -> Metadata:
    """What a built folder says of itself.

    Raises:
      UserError: it is damaged, or of another format.
    """
    content = _json(file)
    if not isinstance(content, dict) or content.get("format") not in (1, FORMAT):
        version = content.get("format") if isinstance(content, dict) else None
        raise UserError(
            f"'{file.parent}' has format {version!r:.60}; this version reads 1 and {FORMAT}: {BUILD_IT} anew."
        )
    try:
        metadata = Metadata(**content)
    except TypeError as error:
        raise UserError(f"'{file}' is damaged ({error}); {BUILD_IT} anew.") from error
    if metadata.skeleton not in tuple(SKELETONS):
        raise UserError(f"'{file}' has skeleton '{metadata.skeleton}'; known are {', '.join(SKELETONS)}.")
    if metadata.features != SKELETONS[metadata.skeleton].features:
        raise UserError(f"'{file}' is damaged: it says {metadata.features!r:.60} features; {BUILD_IT} anew.")
    if not positive(metadata.fps):
        raise UserError(f"'{file}' is damaged: it says {metadata.fps!r:.60} frames a second; {BUILD_IT} anew.")
    clips = metadata.clips
    if not isinstance(clips, dict) or not clips or not all(type(n) is int and n > 0 for n in clips.values()):
        raise UserError(f"'{file}' is damaged: its clips are {clips!r:.60}; {BUILD_IT} anew.")
    return metadata


def read_statistics(file: Path, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and std of the features, and bones of the target skeleton.

    Raises:
      UserError: they are missing, damaged or of another skeleton.
    """
    refuse_lfs_pointer(file, f"'{file}'")
    try:
        with Archive(file) as archive:
            arrays = check_arrays(archive, skeleton)
    except FileNotFoundError:
        raise UserError(f"'{file}' does not exist; {BUILD_IT} anew.") from None
    except UnreadableArrayError as error:
        raise UserError(f"'{file}' is damaged ({error.what}); {BUILD_IT} anew.") from error
    return arrays["mean"], arrays["std"], arrays["offsets"]


def read_index(file: Path, clips: int) -> dict[str, list[Any]]:
    """Id, frames, captions, persons and named numbers of every clip of a split, in columns.

    Raises:
      UserError: it is missing or damaged, or lists another number of clips.
    """
    index = _json(file)
    if not isinstance(index, dict):
        raise UserError(f"'{file}' does not list {clips} clips; {BUILD_IT} anew.")
    index = {"persons": [1] * clips, "numbers": [{}] * clips} | index
    for key, right in _COLUMNS.items():
        column = index.get(key)
        if not isinstance(column, list) or len(column) != clips:
            raise UserError(f"'{file}' does not list {clips} clips under '{key}'; {BUILD_IT} anew.")
        wrong = next((i for i, value in enumerate(column) if not right(value)), None)
        if wrong is not None:
            what = f"'{key}' of clip {wrong} is {column[wrong]!r:.60}"
            raise UserError(f"'{file}' is damaged ({what}); {BUILD_IT} anew.")
    return index


def _json(path: Path) -> Any:
    refuse_lfs_pointer(path, f"'{path}'")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"'{path}' cannot be read ({error}); {BUILD_IT} anew.") from error
