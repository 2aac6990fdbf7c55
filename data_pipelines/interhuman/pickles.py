"""A restricted unpickler for dictionaries of NumPy arrays: nothing that they name is imported or run."""

import io
import math
import pickle
from typing import Any

import numpy as np

from motiongpt3_jax.errors import cause
from motiongpt3_jax.motion.arrays import UnreadableArrayError
from motiongpt3_jax.tensors.pickles import Inert, Meaning, StandIn

KINDS = "fiub"
"""Kinds of numbers that arrays may hold."""


class DType(Inert):
    """In the place of a NumPy dtype."""

    def __init__(self, name: object) -> None:
        self.name, self.order = str(name), ""

    def __setstate__(self, state: object) -> None:
        self.order = state[1] if isinstance(state, tuple) and state[1] in ("<", ">") else ""

    def dtype(self) -> np.dtype:
        """What it stands for; of numbers alone."""
        dtype = np.dtype(self.order + self.name.lstrip("<>=|"))
        if dtype.kind not in KINDS:
            raise pickle.UnpicklingError(f"an array holds {dtype}, not numbers")
        return dtype


class Array(Inert):
    """In the place of a NumPy array."""

    def __init__(self) -> None:
        self.content: np.ndarray | None = None

    def __setstate__(self, state: object) -> None:
        _, shape, dtype, fortran, data = state
        self.content = _array(data, dtype, shape, "F" if fortran else "C")


def _array(data: object, dtype: object, shape: object, order: str = "C", *_: object) -> np.ndarray:
    data = data.encode("latin1") if isinstance(data, str) else data
    if not isinstance(dtype, DType) or not isinstance(data, bytes | bytearray) or not isinstance(shape, tuple):
        raise pickle.UnpicklingError("an array is not made of plain bytes")
    numbers = dtype.dtype()
    if not all(type(n) is int and n >= 0 for n in shape) or math.prod(shape) * numbers.itemsize != len(data):
        raise pickle.UnpicklingError("an array's bytes do not fit its shape")
    return np.frombuffer(bytes(data), numbers).reshape(shape, order="F" if order == "F" else "C")


def _frombuffer(data: object, dtype: object, shape: object, order: object, *_: object) -> Array:
    array = Array()
    array.content = _array(data, dtype, shape, str(order))
    return array


def _scalar(dtype: object, data: object) -> object:
    return _array(data, dtype, ())[()].item()


NAMES = {
    ("_codecs", "encode"): Meaning(lambda text, *_: text.encode("latin1")),
    ("numpy", "dtype"): Meaning(lambda name, *_: DType(name)),
    **{
        (f"numpy.{core}.{module}", name): Meaning(meaning)
        for core in ("core", "_core")
        for module, name, meaning in (
            ("multiarray", "_reconstruct", lambda *_: Array()),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
}
"""All names that mean something."""


class Unpickler(pickle.Unpickler):
    """Reads a pickle with the names above."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name means; nothing is imported."""
        return NAMES.get((module, name), StandIn)


def load_arrays(pickled: bytes) -> dict[str, Any]:
    """Load a dictionary of arrays and plain values, nested or not.

    Raises:
      UnreadableArrayError: it is damaged, or no such dictionary.
    """
    try:
        content = _plain(Unpickler(io.BytesIO(pickled), encoding="latin1").load())
    except Exception as error:  # what is no such pickle fails in any way
        what = f"is no pickle of plain arrays ({cause(error)})"
        raise UnreadableArrayError(what, "copy it anew, or give motions_processed/") from None
    if not isinstance(content, dict):
        raise UnreadableArrayError(f"holds a {type(content).__name__}, not a dictionary", "copy it anew")
    return content


def _plain(value: Any) -> Any:
    if isinstance(value, Array):
        return value.content
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return value
