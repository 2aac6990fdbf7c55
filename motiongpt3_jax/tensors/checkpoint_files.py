"""Reading and writing state dicts: PyTorch checkpoints and safetensors."""

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.lfs import refuse_lfs_pointer
from motiongpt3_jax.motion.saving import whole_file
from motiongpt3_jax.tensors.pickles import Tensor, read_archive

SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".tar")
"""Files that are read."""

STATE_DICT = "state_dict"
"""Under which key PyTorch Lightning saves the tensors of a model."""

HOLDERS = (STATE_DICT, "net")
"""Keys under which files hold the tensors of a model beside other things; T2M-GPT's and MotionLLM's say "net"."""

WRAPPERS = ("module.", "_orig_mod.")
"""What distributed training and compiling put before every name."""


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a file by their names, in the dtypes that they have there.

    Nothing that a checkpoint names is run. A training framework's checkpoint may hold anything beside its `state_dict`;
    names lose what wrapping put before them. Needs no PyTorch. Tensors of a checkpoint are mapped from the file.

    Raises:
      FileNotFoundError: there is no such file.
      UserError: it is damaged, or of another kind; says which.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file '{path}'; give a checkpoint ({', '.join(SUFFIXES)})")
    refuse_lfs_pointer(path, f"'{path}'")
    tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_checkpoint(path)
    if not tensors:
        raise UserError(f"'{path}' holds no tensors")
    names = {name: _strip_wrappers(name) for name in tensors}
    if len({*names.values()}) < len(names):
        twice = next(to for name, to in names.items() if name != to and to in names)
        raise UserError(f"'{path}' holds {twice} twice, once wrapped; take the checkpoint of one of the two")
    for name, tensor in tensors.items():
        if np.iscomplexobj(tensor):
            raise UserError(f"'{path}' holds complex numbers in {name}; no model that is known here has them")
    return {to: tensors[name] for name, to in names.items()}


def as_float32(state: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], str]:
    """(the tensors in float32, what was changed in a sentence, or nothing).

    Raises:
      UserError: a tensor holds what is no number.
    """
    others = sorted({str(x.dtype) for x in state.values()} - {"float32"})
    changed = sum(x.dtype != np.float32 for x in state.values())
    note = (
        f"{changed} of {len(state)} tensors are {', '.join(others)} in the file, and become float32" if changed else ""
    )
    numbers = {name: np.asarray(x, np.float32) for name, x in state.items()}
    broken = [name for name, x in numbers.items() if not np.isfinite(x).all()]
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise UserError(
            f"{', '.join(broken[:3])}{more} hold values that are not finite (NaN or infinite): the training that wrote "
            "them went wrong, or the file is damaged; take an earlier checkpoint"
        )
    return numbers, note


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"'{path}' is damaged or incomplete ({error}); copy or download it anew") from None
    except AttributeError as error:  # numbers that NumPy has no name for
        raise UserError(f"'{path}' holds numbers that are not read here ({error}); save it in float32") from None


def _read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    with open(path, "rb") as file:
        head = file.read(16)
    if not head.startswith(b"PK\x03\x04"):
        if head.startswith(b"\x80") or b"././@" in head:
            again = f"import torch; torch.save(torch.load('{path.name}', weights_only=True), '{path.name}')"
            raise UserError(
                f"'{path}' has the format of PyTorch before version 1.6; write it anew: python -c \"{again}\""
            )
        raise UserError(f"'{path}' is no checkpoint: it begins with {head!r}; was the download a page or a pointer?")
    content, numbers = read_archive(path)
    held = [content.get(key) for key in HOLDERS] if isinstance(content, dict) else []
    state = next((value for value in held if isinstance(value, dict)), content)
    if not isinstance(state, dict) or not any(isinstance(value, Tensor) for value in state.values()):
        keys = f"its keys are {_first_keys(content)}" if isinstance(content, dict) else "it is no dictionary"
        raise UserError(f"'{path}' holds no state dict: {keys}")
    odd = [name for name, value in state.items() if not isinstance(value, Tensor) or not isinstance(name, str)]
    if odd:
        raise UserError(f"'{path}' has entries in its state dict that are no plain tensors: {_first_keys(odd)}")
    return {name: numbers(tensor) for name, tensor in state.items()}


def _first_keys(keys: Iterable[Any]) -> str:
    """The first few keys, whatever a file may hold as one."""
    shown = [key[:60] if isinstance(key, str) else type(key).__name__ for key in islice(keys, 4)]
    return ", ".join(shown[:3]) + " ..." * (len(shown) > 3)


def _strip_wrappers(name: str) -> str:
    while name.startswith(WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def write_checkpoint(path: Path, state: Mapping[str, np.ndarray], key: str = STATE_DICT) -> None:
    """Writes a state dict as the official code loads it; arrays that are one become one tensor under several names.

    The file appears whole or not at all.

    Args:
      path: the file.
      state: tensors by their names.
      key: one of `HOLDERS`, under which the file holds them; "" for a file of nothing else.

    Raises:
      UserError: PyTorch is not installed.
    """
    torch = import_torch()
    tensors = {id(array): torch.from_numpy(array) for array in state.values()}
    content = {name: tensors[id(array)] for name, array in state.items()}
    with whole_file(path, path.suffix) as part:
        torch.save({key: content} if key else content, part)


def import_torch() -> ModuleType:
    """PyTorch, which is an extra.

    Raises:
      UserError: it is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError:
        raise UserError(
            "PyTorch checkpoints are written by PyTorch, which is not installed: pip install 'motiongpt3_jax[torch]'"
        ) from None
    return torch
