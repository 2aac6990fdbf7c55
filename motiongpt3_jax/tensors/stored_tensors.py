"""Tensors of safetensors files that are read by slices, as each device of a mesh needs them, and parameters of them.

A checkpoint is one `model.safetensors`, or several files that `model.safetensors.index.json` lists. Opening it reads
names and shapes alone.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import jax  # noqa: F401 (with it NumPy knows bfloat16)
import numpy as np
from jax.typing import DTypeLike
from safetensors import SafetensorError, safe_open

from motiongpt3_jax import hub
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.lfs import refuse_lfs_pointer
from motiongpt3_jax.tensors.check_fit import check_fit
from motiongpt3_jax.tensors.name_table import Entry, NameTable

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
"""Files of a checkpoint: its sizes, its tensors, or the list of the files that they are spread over."""

HUB_FILES = (CONFIG, INDEX, "model*.safetensors")
"""What a checkpoint on the hub is made of."""

NUMBERS = ("F64", "F32", "F16", "BF16")
"""Types of numbers that parameters have."""

ROWS = 4096
"""Rows of two tensors that are compared at a time."""

Index = tuple[slice, ...]


class Slices(Protocol):
    """What is read by slices: a tensor in a file, an array."""

    shape: tuple[int, ...]

    def __getitem__(self, index: Index) -> np.ndarray:
        """The numbers there."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file; NumPy takes it as an array, and then it is read whole.

    Attributes:
      name: its name there.
      shape: its shape.
      slices: safetensors' view of it.
    """

    name: str
    shape: tuple[int, ...]
    slices: Any = field(repr=False)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Index) -> np.ndarray:
        """The numbers of one slice for each axis; no others are read."""
        return self.slices[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[(slice(None),) * len(self.shape)], dtype)


@dataclass(frozen=True)
class StoredParameter:
    """A parameter of ours in the tensors of a checkpoint; as an array of NumPy it is float32, unless asked otherwise.

    Attributes:
      entries: where it lies: one, or one for each slice of a stack, in order.
      tensors: of the checkpoint, by name.
    """

    entries: tuple[Entry, ...]
    tensors: Mapping[str, Slices] = field(repr=False)

    @property
    def stacked(self) -> bool:
        """Whether each entry is a slice of it."""
        return self.entries[0].index is not None

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        one = self.entries[0].our_shape
        return (len(self.entries), *one) if self.stacked else one

    def __getitem__(self, index: Index) -> np.ndarray:
        """The part at one slice for each axis, float32."""
        return self.read(index)

    def read(self, index: Index, dtype: DTypeLike = np.float32) -> np.ndarray:
        """The part at one slice for each axis, in a dtype; of a stack, one tensor is held at a time beside it."""
        if not self.stacked:
            return np.asarray(self._read(self.entries[0], index), dtype)
        chosen = self.entries[index[0]]
        parts = (self._read(entry, index[1:]) for entry in chosen)
        first = next(parts)
        whole = np.empty((len(chosen), *first.shape), dtype)
        whole[0] = first
        for number, part in enumerate(parts, start=1):
            whole[number] = part
        return whole

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.read((slice(None),) * len(self.shape), np.float32 if dtype is None else dtype)

    def _read(self, entry: Entry, index: Index) -> np.ndarray:
        return entry.read(self.tensors[entry.key], index)


def checkpoint_folder(name_or_folder: str | Path, what: str) -> Path:
    """The folder of a published checkpoint, or the local copy of one on the Hugging Face hub.

    Args:
      name_or_folder: where it lies.
      what: the kind of model, as errors name it: "a GPT-2".

    Raises:
      FileNotFoundError: there is neither.
    """
    folder = Path(os.path.expanduser(name_or_folder))
    if folder.is_dir():
        return folder
    try:
        return Path(hub.snapshot(str(name_or_folder), HUB_FILES))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"no {what.removeprefix('a ')} at {str(name_or_folder)!r}: it is no local folder, and {error}"
        ) from error


def weight_files(folder: Path, what: str) -> list[Path]:
    """The files with a checkpoint's tensors.

    Raises:
      FileNotFoundError: there are none, or one is missing.
      UserError: their list is damaged.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(f"'{folder}' has no {WEIGHTS}; give the folder of {what} checkpoint")
    files = read_json(folder / INDEX).get("weight_map")
    names = sorted({*files.values()}) if isinstance(files, Mapping) else []
    odd = [name for name in names if not isinstance(name, str) or Path(name).name != name]
    if not names or odd:
        raise UserError(f"'{folder / INDEX}' lists no files of tensors; copy or download it anew")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"'{folder}' has no {missing[0]}, which its {INDEX} lists; copy or download it anew")
    return [folder / name for name in names]


def open_tensors(files: Sequence[Path]) -> dict[str, StoredTensor]:
    """The tensors of some files by their names.

    Raises:
      UserError: a file is damaged, or holds other numbers than parameters have.
    """
    return {tensor.name: tensor for path in files for tensor in _open_file(path)}


def _open_file(path: Path) -> Iterator[StoredTensor]:
    refuse_lfs_pointer(path, f"'{path}'")
    try:
        file = safe_open(path, framework="numpy")
        views = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no dictionary)
    except (SafetensorError, OSError) as error:
        raise UserError(f"'{path}' is damaged or incomplete ({error}); copy or download it anew") from None
    for name, view in views.items():
        if view.get_dtype() not in NUMBERS:
            raise UserError(f"'{path}' holds {name} as {view.get_dtype()}; of numbers {', '.join(NUMBERS)} are read")
        yield StoredTensor(name, tuple(view.get_shape()), view)


def read_json(path: Path) -> dict[str, Any]:
    """The object of names and values in a file.

    Raises:
      UserError: it is no JSON, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is no JSON ({error}); copy or download it anew") from None
    if not isinstance(content, dict):
        raise UserError(f"'{path}' holds no object of names and values; copy or download it anew")
    return content


def stored_params(tensors: Mapping[str, Slices], table: NameTable) -> dict[str, Any]:
    """Nested parameters of a checkpoint, none of which is read yet.

    Args:
      tensors: by name.
      table: names and shapes that they must have; none of them optional.

    Raises:
      UserError: names every missing, unexpected and wrongly shaped tensor, and tied tensors that differ.
    """
    check_fit({key: tuple(tensor.shape) for key, tensor in tensors.items()}, table.shapes, table.needed)
    for copy, key in table.tied.items():
        if copy in tensors and not _are_same(tensors[copy], tensors[key]):
            raise UserError(f"{copy} differs from {key}; the model shares one table, so they must be equal")
    entries: dict[str, list[Entry]] = {}
    for entry in table.entries:
        entries.setdefault(entry.path, []).append(entry)
    params: dict[str, Any] = {}
    for path, some in entries.items():
        *parents, name = path.split("/")
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = StoredParameter(tuple(sorted(some, key=lambda entry: entry.index or 0)), tensors)
    return params


def _are_same(one: Slices, other: Slices) -> bool:
    others = (slice(None),) * (len(one.shape) - 1)
    rows = one.shape[0]
    parts = [(slice(first, min(first + ROWS, rows)), *others) for first in range(0, rows, ROWS)]
    return all(np.array_equal(one[part], other[part]) for part in parts)
