"""A restricted unpickler for PyTorch checkpoints: no PyTorch, and nothing that they name is run.

A checkpoint is a zip archive: `data.pkl`, a pickle of what was saved, and under `data/` the bytes of every storage, not
compressed. A pickle is a program that calls whatever it names. This reader knows the few names that make tensors and
dictionaries, and has its own meaning for each; every other name is a stand-in that takes what is done to it and does
nothing. So the settings and callbacks that a training framework saves beside the weights are passed over.
"""

import io
import math
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from motiongpt3_jax.errors import UserError, cause

DTYPES = {
    "BFloat16Storage": jnp.bfloat16,
    "BoolStorage": np.bool_,
    "ByteStorage": np.uint8,
    "CharStorage": np.int8,
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "IntStorage": np.int32,
    "LongStorage": np.int64,
    "ShortStorage": np.int16,
}
"""Numbers of each kind of storage."""


MOST_AXES = 16
"""More than any tensor of a model has."""


class Inert:
    """What a pickle may hold and say anything about, to no effect."""

    __slots__ = ()

    # A pickle sets the state of any object on its stack; without this it could set attributes.
    def __setstate__(self, state: object) -> None:
        pass


class StandIn(Inert):
    """In the place of everything that is not known."""

    __slots__ = ()

    def __new__(cls, *args: object, **kwargs: object) -> "StandIn":
        """Takes any arguments."""
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def _nothing(self, *args: object) -> None:
        """Takes an entry and forgets it."""

    __setitem__ = append = extend = add = _nothing


class Dictionary(Inert, dict):
    """In the place of an OrderedDict."""

    __slots__ = ()


class Meaning(Inert):
    """A function of ours in the place of one that a pickle names; a pickle can call it and change nothing of it."""

    __slots__ = ("meaning",)

    def __init__(self, meaning: Callable[..., Any]) -> None:
        self.meaning = meaning

    def __call__(self, *args: object) -> Any:
        """What the pickle gets."""
        return self.meaning(*args)


@dataclass(frozen=True)
class Kind(Inert):
    """A kind of storage, by the dtype of its numbers."""

    dtype: np.dtype


@dataclass(frozen=True)
class Storage(Inert):
    """The numbers of one or several tensors: `count` of a dtype, in the record `key` of the archive."""

    dtype: np.dtype
    key: str
    count: int


@dataclass(frozen=True)
class Tensor(Inert):
    """Numbers of a storage, from `start` on; `strides` count numbers."""

    storage: Storage
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(storage: object, start: object, shape: object, strides: object, *_: object) -> Tensor | StandIn:
    """A tensor; a stand-in for what has a storage of an unknown kind."""
    numbers = (start, *shape, *strides)
    if not all(type(number) is int and number >= 0 for number in numbers) or len(shape) != len(strides):
        raise pickle.UnpicklingError("a tensor's size is not plain")
    return Tensor(storage, start, tuple(shape), tuple(strides)) if isinstance(storage, Storage) else StandIn()


NAMES = {
    ("collections", "OrderedDict"): Dictionary,
    ("torch", "Size"): Meaning(tuple),
    ("torch._utils", "_rebuild_tensor_v2"): Meaning(_tensor),
    ("torch._utils", "_rebuild_parameter"): Meaning(lambda data, *_: data),
    ("torch._utils", "_rebuild_parameter_with_state"): Meaning(lambda data, *_: data),
    **{("torch", name): Kind(np.dtype(dtype)) for name, dtype in DTYPES.items()},
}
"""All names that mean something."""


class Unpickler(pickle.Unpickler):
    """Reads a pickle with the names above."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name means; nothing is imported."""
        return NAMES.get((module, name), StandIn)

    def persistent_load(self, pid: Any) -> Storage | StandIn:
        """A storage, which a checkpoint names as ("storage", kind, key, device, count)."""
        tag, kind, key, _, count = pid
        if tag != "storage" or type(key) is not str or type(count) is not int or count < 0:
            raise pickle.UnpicklingError("it refers to something else than a storage")
        return Storage(kind.dtype, key, count) if isinstance(kind, Kind) else StandIn()


def read_archive(path: Path) -> tuple[Any, Callable[[Tensor], np.ndarray]]:
    """(what was saved, with `Tensor` where there was a tensor; a function that gives a tensor's numbers).

    The numbers are mapped from the file, which must stay as it is; those that nobody looks at are never read.

    Raises:
      UserError: the file is damaged, or not one that PyTorch writes; says which.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            records = {entry.filename: entry for entry in archive.infolist()}
            folder = next((name[:-8] for name in records if name.endswith("/data.pkl")), None)
            names = [f"{folder}{name}" for name in ("data.pkl", "byteorder")]
            if any(records[name].compress_type != zipfile.ZIP_STORED for name in names if name in records):
                raise UserError("its records are compressed, which PyTorch never does")  # they could fill the memory
            pickled, order = (archive.read(name) if name in records else b"" for name in names)
    except Exception as error:  # a damaged archive fails in any way
        raise UserError(f"'{path}' is damaged or incomplete ({cause(error)}); copy or download it anew") from None
    if folder is None:
        raise UserError(f"'{path}' is a zip archive and no checkpoint: there is no data.pkl in it")
    if order not in (b"", b"little"):
        raise UserError(f"'{path}' was written on a big-endian machine; write it anew on another one")
    content = _load(path, pickled)
    buffer = np.asarray(np.memmap(path, np.uint8, "r"))

    def numbers(tensor: Tensor) -> np.ndarray:
        entry = records.get(f"{folder}data/{tensor.storage.key}")
        wanted = tensor.storage.count * tensor.storage.dtype.itemsize
        if entry is None or entry.compress_type != zipfile.ZIP_STORED or entry.file_size != wanted:
            raise UserError(f"'{path}' is damaged: it lacks the numbers of storage {tensor.storage.key}")
        # A local header: 26 bytes, the lengths of the name and of what pads it, name and padding, then the content.
        header = buffer[entry.header_offset + 26 : entry.header_offset + 30].view("<u2")
        first = entry.header_offset + 30 + int(header.sum())
        return _as_strided(buffer[first : first + wanted].view(tensor.storage.dtype), tensor, path)

    return content, numbers


def _load(path: Path, pickled: bytes) -> Any:
    try:
        return Unpickler(io.BytesIO(pickled), encoding="utf-8").load()
    except Exception as error:  # what is no checkpoint's pickle fails in any way
        raise UserError(
            f"'{path}' cannot be read: its data.pkl is damaged, or holds more than tensors and plain values "
            f"({cause(error)})"
        ) from None


def _as_strided(flat: np.ndarray, tensor: Tensor, path: Path) -> np.ndarray:
    """The tensor's part of its storage."""
    count = math.prod(tensor.shape)
    if not count and len(tensor.shape) <= MOST_AXES and math.prod(n or 1 for n in tensor.shape) < 2**48:
        return np.zeros(tensor.shape, flat.dtype)
    # Along an axis of one, any stride is the same.
    steps = [stride if n > 1 else 0 for n, stride in zip(tensor.shape, tensor.strides)]
    last = tensor.start + sum((n - 1) * stride for n, stride in zip(tensor.shape, steps))
    # A small storage under large strides of 0 would become an array of any size.
    if not 0 < count <= len(flat) or last >= len(flat) or len(tensor.shape) > MOST_AXES:
        raise UserError(f"'{path}' is damaged: a tensor of shape {tensor.shape} does not fit its storage")
    strides = tuple(stride * flat.itemsize for stride in steps)
    view = np.lib.stride_tricks.as_strided(flat[tensor.start :], tensor.shape, strides, writeable=False)
    return np.ascontiguousarray(view).reshape(tensor.shape)
