"""Clips in ArrayRecord files, written by a TFDS builder and read by index; no TensorFlow needed.

A built folder holds

    metadata.json         where the clips come from, how they were made, how many there are, what was left out
    statistics.npz        mean and std of the features, offsets of the target skeleton
    index_<split>.json    id, frames and captions of every clip: enough to plan an epoch without reading a record
    captioned_motions/    the records, as `tensorflow_datasets` lays them out

It appears whole or not at all. Clips keep their order.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Float
from tensorflow_datasets.proto import tf_example_pb2

from motiongpt3_jax.data_pipelines.captioned_motions import RECORD_VERSIONS, CaptionedMotions, write_records
from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.data_pipelines.record_files import (
    BUILD_IT,
    INDEX,
    METADATA,
    STATISTICS,
    Metadata,
    read_index,
    read_metadata,
    read_statistics,
)
from motiongpt3_jax.data_pipelines.statistics import RunningStatistics, Statistics
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion import HUMANML3D, SKELETONS, Skeleton
from motiongpt3_jax.motion.arrays import UnreadableArrayError
from motiongpt3_jax.motion.interpret import check_magnitude
from motiongpt3_jax.motion.lfs import refuse_lfs_pointer
from motiongpt3_jax.motion.saving import failures_of

COLUMNS = ("ids", "frames", "captions", "persons", "numbers")
"""What an index holds of every clip."""


@dataclass(frozen=True)
class ClipSource(Sequence[Clip]):
    """The clips of a split by index; each is read when asked for.

    Opens the files at first use, so it travels to data workers as a path.
    """

    folder: Path
    split: str
    clips: int
    version: str

    @cached_property
    def _records(self) -> Sequence[bytes]:
        place = self.folder / CaptionedMotions.name / self.version
        for file in (*place.glob("*.json"), *place.glob(f"*-{self.split}.*")):
            refuse_lfs_pointer(file, f"'{file}'")
        try:
            builder = tfds.builder_from_directory(place)
            # TFDS decodes a record by its specification, field by field, in twice the time of reading it.
            raw = tfds.decode.DeserializeMethod.RAW_BYTES
            source = builder.as_data_source(split=self.split, deserialize_method=raw)
            self.__dict__["_width"] = builder.info.features["features"].shape[-1]
            len(source)  # opens the files
        except Exception as error:  # TFDS and the libraries below it raise any kind at damaged files
            raise UserError(f"'{place}' has no records that can be read ({_line(error)}); {BUILD_IT} anew.") from error
        if len(source) != self.clips:
            raise UserError(
                f"'{self.folder}' has {len(source)} records of split '{self.split}' and an index of {self.clips}: "
                f"files were exchanged; {BUILD_IT} anew."
            )
        return source

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> Clip:
        if not -self.clips <= index < self.clips:
            raise IndexError(f"clip {index} of {self.clips}")
        records = self._records
        try:
            record = tf_example_pb2.Example.FromString(records[index % self.clips]).features.feature
            frames = np.frombuffer(_bytes(record, "features")[0], np.float32).reshape(-1, self._width)
            # Records of format 1 have one person and no numbers.
            persons = np.split(frames, record["persons"].int64_list.value[0] if "persons" in record else 1)
            numbers = _bytes(record, "numbers")[0] if "numbers" in record else b"{}"
            return Clip(
                id=_bytes(record, "id")[0].decode("utf-8"),
                features=persons[0],
                captions=tuple(caption.decode("utf-8") for caption in _bytes(record, "captions")),
                labels=json.loads(_bytes(record, "labels")[0]),
                others=tuple(persons[1:]),
                numbers=_numbers(json.loads(numbers)),
            )
        except Exception as error:  # as above
            what = f"record {index % self.clips} of split '{self.split}' in '{self.folder}' cannot be read"
            raise UserError(f"{what} ({_line(error)}); {BUILD_IT} anew.") from error

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_records", "_width")}


@dataclass(frozen=True)
class Split:
    """One split of a built folder.

    Attributes:
      name: "train", "val", "test" ...
      source: the clips, by index.
      ids: name of every clip.
      lengths: frames of every clip.
      captions: captions of every clip.
      extras: persons of every clip, and its named numbers.
    """

    name: str
    source: Sequence[Clip]
    ids: list[str]
    lengths: list[int]
    captions: list[tuple[str, ...]]
    extras: list[tuple[int, Mapping[str, tuple[float, ...]]]]

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass(frozen=True, eq=False)
class Records:
    """A built folder.

    Attributes:
      folder: where it lies.
      metadata: what it says of itself.
      mean, std: statistics that normalise the features.
      offsets: bones of the target skeleton, metres; see `Skeleton.offsets`.
    """

    folder: Path
    metadata: Metadata
    mean: Float[np.ndarray, "features"]
    std: Float[np.ndarray, "features"]
    offsets: Float[np.ndarray, "joints 3"]

    @property
    def skeleton(self) -> Skeleton:
        """Which joints the features describe."""
        return SKELETONS[self.metadata.skeleton]

    @property
    def fps(self) -> float:
        """Frames in a second."""
        return self.metadata.fps

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        return tuple(self.metadata.clips)

    def split(self, name: str) -> Split:
        """One split; reads its index and no record.

        Raises:
          UserError: there is no such split, or its index is damaged.
        """
        if name not in self.metadata.clips:
            raise UserError(f"'{self.folder}' has no split '{name}'; it has {', '.join(self.splits)}.")
        clips = self.metadata.clips[name]
        index = read_index(self.folder / INDEX.format(name), clips)
        captions = [tuple(texts) for texts in index["captions"]]
        extras = [(persons, _numbers(numbers)) for persons, numbers in zip(index["persons"], index["numbers"])]
        source = ClipSource(self.folder, name, clips, RECORD_VERSIONS[self.metadata.format])
        return Split(name, source, index["ids"], index["frames"], captions, extras)


def build(
    folder: str | os.PathLike[str],
    splits: Mapping[str, Iterable[Clip]],
    *,
    source: str,
    offsets: Float[np.ndarray, "joints 3"],
    skeleton: Skeleton = HUMANML3D,
    fps: float | None = None,
    skipped: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    statistics: Statistics | None = None,
) -> Records:
    """Writes clips into a new folder, each split in its order; interrupted, it leaves nothing that opens.

    Args:
      folder: where to; must not exist, or be empty.
      splits: the clips of every split, each read once.
      source: name of the source, for the reader.
      offsets: bones of the target skeleton, metres.
      skeleton: which joints the features describe.
      fps: frames in a second; by default the skeleton's.
      skipped: what was left out, and why; a sentence each.
      options: what the source was asked for; anything that JSON holds.
      statistics: what normalises the features; by default measured on the split "train".

    Raises:
      FileExistsError: something is there already.
      UserError: an empty split, no split "train" to measure, or a clip that is no clip: wrong shape, not finite, an id
        that came before.
    """
    folder = Path(folder)
    require_free(folder)
    if statistics is None and "train" not in splits:
        raise UserError(f"cannot build '{folder}': mean and std are measured on split 'train', and there is none.")
    moments = RunningStatistics(skeleton.features) if statistics is None else None
    indices = {name: _Index(name, skeleton, moments if name == "train" else None) for name in splits}
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
    try:
        with failures_of(folder, part):
            part.mkdir()
            write_records(
                part, {name: indices[name].noting(clips) for name, clips in splits.items()}, skeleton.features
            )
            statistics = moments.statistics(skeleton) if moments else statistics
            bones = np.asarray(offsets, np.float32)
            np.savez(part / STATISTICS, mean=statistics.mean, std=statistics.std, offsets=bones)
            for name, index in indices.items():
                _write_json(part / INDEX.format(name), index.columns)
            metadata = Metadata(
                source=source,
                skeleton=skeleton.name,
                fps=float(skeleton.fps if fps is None else fps),
                features=skeleton.features,
                clips={name: len(index.columns["ids"]) for name, index in indices.items()},
                options=dict(options or {}),
                skipped=list(skipped),
            )
            _write_json(part / METADATA, asdict(metadata), indent=1)
        require_free(folder)
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return open_records(folder)


def open_records(folder: str | os.PathLike[str]) -> Records:
    """Opens what `build` wrote.

    Raises:
      FileNotFoundError: there is no such folder, or it was not built.
      UserError: it is damaged, or of another format.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder '{folder}'; {BUILD_IT}.")
    if not (folder / METADATA).is_file():
        raise FileNotFoundError(f"'{folder}' holds no built clips (no {METADATA}); {BUILD_IT}.")
    metadata = read_metadata(folder / METADATA)
    mean, std, offsets = read_statistics(folder / STATISTICS, SKELETONS[metadata.skeleton])
    return Records(folder, metadata, mean, std, offsets)


def require_free(folder: str | os.PathLike[str]) -> None:
    """Raise FileExistsError unless `build` may write this folder: it does not exist, or is empty."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"'{folder}' exists already; remove it, or choose another folder to build into.")


@dataclass
class _Index:
    """Checks the clips of a split on their way to the records, and keeps what planning needs."""

    split: str
    skeleton: Skeleton
    moments: RunningStatistics | None
    columns: dict[str, list] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def noting(self, clips: Iterable[Clip]) -> Iterator[Clip]:
        seen = set()
        for clip in clips:
            what = f"clip '{clip.id}' of split '{self.split}'"
            for person in clip.persons:
                self._check(np.asarray(person, np.float32), what)
            array = np.asarray(clip.features, np.float32)
            if any(len(other) != len(array) for other in clip.others):
                raise UserError(f"{what} has persons of {[len(x) for x in clip.persons]} frames; cut them alike.")
            if clip.id in seen:
                raise UserError(f"{what} comes twice; ids are unique in a split.")
            seen.add(clip.id)
            if self.moments:
                for person in clip.persons:
                    self.moments.add(np.asarray(person, np.float32))
            self.columns["ids"].append(clip.id)
            self.columns["frames"].append(len(array))
            self.columns["captions"].append(list(clip.captions))
            self.columns["persons"].append(len(clip.persons))
            self.columns["numbers"].append({name: list(numbers) for name, numbers in clip.numbers.items()})
            yield replace(clip, features=array, others=tuple(np.asarray(other, np.float32) for other in clip.others))
        if not seen:
            raise UserError(f"split '{self.split}' has no clips; leave the split out, or give it some.")

    def _check(self, array: Float[np.ndarray, "frames features"], what: str) -> None:
        """Refuses features that are none of the skeleton's."""
        if array.ndim != 2 or array.shape[1] != self.skeleton.features or not len(array):
            raise UserError(f"{what} has features of shape {array.shape}; expected (frames, {self.skeleton.features}).")
        if not np.isfinite(array).all():
            raise UserError(f"{what} has features that are not finite (NaN or infinite); leave it out.")
        try:
            check_magnitude(array, self.skeleton)
        except UnreadableArrayError as error:
            raise UserError(f"{what} {error}") from error


def _write_json(path: Path, content: Any, indent: int | None = None) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=indent), encoding="utf-8")


def _line(error: Exception) -> str:
    """The first line of what a library said."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _numbers(content: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(float(number) for number in numbers) for name, numbers in content.items()}


def _bytes(record: Mapping[str, Any], name: str) -> Sequence[bytes]:
    """The values of a field of bytes in a `tf.train.Example`."""
    if name not in record:
        raise KeyError(name)
    return record[name].bytes_list.value
