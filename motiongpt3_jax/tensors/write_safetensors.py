"""Safetensors files that are written piece by piece, so that parameters of other files are never read whole."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

PIECE = 2**26
"""Bytes of an array that are read at a time."""

KINDS = {"F32": np.dtype(np.float32), "BOOL": np.dtype(bool)}
"""What is written, in the order in which a file has them: numbers, and truth values."""


def write_safetensors(path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Streams arrays to a safetensors file: truth values as they are, all others as float32.

    Args:
      path: the file.
      arrays: of this host, or parameters in files, see `StoredParameter`; by name.
      metadata: of the file.
    """
    kinds = {name: _kind(array) for name, array in arrays.items()}
    names = sorted(arrays, key=lambda name: (list(KINDS).index(kinds[name]), name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        begin, shape = end, np.shape(arrays[name])
        end += math.prod(shape) * KINDS[kinds[name]].itemsize
        header[name] = {"dtype": kinds[name], "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            for piece in _pieces(arrays[name]):
                file.write(np.ascontiguousarray(piece, KINDS[kinds[name]]).tobytes())


def _kind(array: Any) -> str:
    return "BOOL" if getattr(array, "dtype", None) == KINDS["BOOL"] else "F32"


def _pieces(array: Any) -> Iterator[np.ndarray]:
    shape = np.shape(array)
    if not shape:
        yield np.asarray(array)
        return
    rows = max(1, PIECE // max(1, 4 * math.prod(shape[1:])))
    for begin in range(0, shape[0], rows):
        yield np.asarray(array[(slice(begin, begin + rows), *[slice(None)] * (len(shape) - 1))])
