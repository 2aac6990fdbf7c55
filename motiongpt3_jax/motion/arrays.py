"""Safe loading of `.npy` and `.npz` files from anywhere: the header is checked before any number is read.

A header may claim terabytes, and an archive of a few megabytes may unpack to more than a machine has. So an array is
read only if its numbers are there and not too many, and of an archive only the arrays that are asked for.
"""

import io
import lzma
import math
import os
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import BinaryIO, NamedTuple, Self

import numpy as np
from numpy.lib import format as npy

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.lfs import FETCH_IT, IS_POINTER, POINTERS

MOST_BYTES = 1 << 29
"""Most that the numbers of an array may take: joints of two hours at 120 frames a second, in double precision."""

_NPY = b"\x93NUMPY"
"""First bytes of a `.npy` file."""

_ZIP = b"PK"
"""First bytes of a `.npz` file, a zip archive."""

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
"""Header parsers, by version of the format."""

_LONGEST_HEADER = 20_000
"""Bytes; NumPy itself reads no header of more than half of it."""

_BAD_HEADER = (ValueError, TypeError, SyntaxError, tokenize.TokenError, OverflowError, MemoryError, RecursionError)
"""What NumPy raises at other text in the place of a header, which it parses as Python."""

_BAD_MEMBER = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError)
"""What zipfile raises at damaged members, and as RuntimeError at encrypted ones and unknown compressions."""

_CHUNK = 1 << 24
"""Bytes read at a time."""

_SAVE_PLAIN = "save plain numbers, e.g. numpy.save(path, joints.astype('float32'))"
_OF_RESULTS = (
    "; of results.npy, as MDM writes it and if it is your own, the first motion is "
    "numpy.load('results.npy', allow_pickle=True).item()['motion'][0].transpose(2, 0, 1)"
)


class UnreadableArrayError(UserError):
    """An array that is not read.

    Attributes:
      what: what is wrong with it, as the rest of a sentence that begins with its file.
      advice: what to do.
    """

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"{what}; {advice.removesuffix('.')}.")
        self.what, self.advice = what, advice


class Header(NamedTuple):
    """Header of a `.npy` array.

    Attributes:
      shape: sizes of its axes.
      fortran: whether the first axis runs fastest.
      dtype: type of its numbers.
      start: bytes before the first number.
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int

    @property
    def size(self) -> int:
        """Bytes that the numbers take."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def possible(self) -> bool:
        """Whether there can be such an array."""
        if self.dtype.itemsize == 0 or len(self.shape) > 32 or any(size < 0 for size in self.shape):
            return False
        # NumPy multiplies the other sizes of an empty array too.
        return math.prod(size or 1 for size in self.shape) * self.dtype.itemsize < 1 << 62


def read_npy(path: str | PathLike[str]) -> np.ndarray:
    """Load a `.npy` file, never unpickling.

    Raises:
      UnreadableArrayError: it is another kind of file, damaged or too large, or holds Python objects.
      OSError: the file cannot be opened.
    """
    with open(path, "rb") as file:
        _check_kind(file, ".npy", _NPY)
        return _read(file, os.fstat(file.fileno()).st_size, "")


class Archive(Mapping[str, np.ndarray]):
    """Lazy `.npz` archive: a mapping whose arrays are read on access, the others never.

    Use it as a context: `with Archive(path) as arrays: arrays["joints"]`.

    Raises:
      UnreadableArrayError: the file, or an array that is asked for, is what `read_npy` refuses.
      OSError: the file cannot be opened.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        with open(path, "rb") as file:
            _check_kind(file, ".npz", _ZIP)
        try:
            self._zip = zipfile.ZipFile(path)
        except _BAD_MEMBER as error:
            raise UnreadableArrayError(f"is not a readable .npz file ({error})", "write it anew") from error
        self._members = {info.filename.removesuffix(".npy"): info for info in self._zip.infolist()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, name: str) -> np.ndarray:
        info = self._members[name]
        try:
            with self._zip.open(info) as file:
                if file.read(len(_NPY)) != _NPY:
                    raise UnreadableArrayError(f"has a member '{name}' that is no array", "save it with numpy")
                file.seek(0)
                return _read(file, info.file_size, f"'{name}' ")
        except UnreadableArrayError:
            raise
        except _BAD_MEMBER as error:
            what = f"is not a readable .npz file (of '{name}': {error})"
            raise UnreadableArrayError(what, "write it anew") from error


def _check_kind(file: BinaryIO, ending: str, magic: bytes) -> None:
    """Raises UnreadableArrayError unless a file begins as its kind does."""
    head = file.read(64)
    file.seek(0)
    if head.startswith(magic):
        return
    if head.startswith(POINTERS):
        raise UnreadableArrayError(IS_POINTER, FETCH_IT)
    if head.startswith((_NPY, _ZIP)):
        kind = "a .npy array" if ending == ".npz" else "a .npz archive"
        raise UnreadableArrayError(f"is {kind} under the name {ending}", "rename it")
    if not head:
        raise UnreadableArrayError(f"is not a readable {ending} file (it is empty)", "write it anew")
    raise UnreadableArrayError(f"is no {ending} file: it begins with {head[:8]!r}", "save it with numpy")


def _read(file: BinaryIO, length: int, name: str) -> np.ndarray:
    """The array that begins a file of `length` bytes; `name` is how its archive calls it."""
    header = _header(file, name)
    if header.dtype.hasobject:
        raise UnreadableArrayError(
            f"holds {name and f'in {name}'}pickled Python objects, which could run code and are never loaded",
            _SAVE_PLAIN + ("" if header.shape or name else _OF_RESULTS),
        )
    available = length - header.start
    claims = f"its header claims {name}{header.dtype} numbers of shape {header.shape}, {header.size:,} bytes"
    if not header.possible or header.size > available:
        raise UnreadableArrayError(f"breaks off: {claims}, and {available:,} follow", "copy or write it anew")
    if header.size > MOST_BYTES:
        raise UnreadableArrayError(f"is too large: {claims}, and {MOST_BYTES:,} are read at most", "cut it into pieces")
    file.seek(header.start)
    return _numbers(file, header).view(header.dtype).reshape(header.shape, order="F" if header.fortran else "C")


def _header(file: BinaryIO, name: str) -> Header:
    """The header at the beginning of a file."""
    start = io.BytesIO(file.read(_LONGEST_HEADER))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # files of Python 2 are read as well as others
            shape, fortran, dtype = _HEADERS[npy.read_magic(start)](start)
    except KeyError as error:
        what = f"is of .npy format {'.'.join(map(str, error.args[0]))}, which is not read here"
        raise UnreadableArrayError(what, "save plain numbers with numpy") from error
    except _BAD_HEADER as error:
        raise UnreadableArrayError(
            f"is not a readable {'.npz' if name else '.npy'} file ({name}has a header that is damaged)", "write it anew"
        ) from error
    return Header(shape, fortran, dtype, start.tell())


def _numbers(file: BinaryIO, header: Header) -> np.ndarray:
    """The bytes that follow a header, in pieces: an archive would hold them twice."""
    numbers, position = np.empty(header.size, np.uint8), 0
    while position < header.size:
        count = file.readinto(memoryview(numbers)[position : position + _CHUNK])
        if not count:
            raise UnreadableArrayError(f"breaks off {header.size - position:,} bytes before its end", "copy it anew")
        position += count
    return numbers
