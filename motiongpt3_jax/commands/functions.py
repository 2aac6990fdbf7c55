"""Functions of the user's own that a flag names: FILE.py:FUNCTION, or MODULE:FUNCTION."""

import importlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from motiongpt3_jax.errors import UserError


def load_function(flag: str, name: str) -> Callable[..., Any]:
    """The function that a flag names; its file or module is run.

    Raises:
      UserError: there is none, or its file cannot be run.
    """
    where, _, function = name.rpartition(":")
    if not where or not function.isidentifier():
        raise UserError(f"{flag} {name!r}: name a function of your own as FILE.py:FUNCTION or MODULE:FUNCTION")
    try:
        module = _of_file(Path(os.path.expanduser(where))) if where.endswith(".py") else importlib.import_module(where)
    except (Exception, SystemExit) as error:  # any code may stand there
        raise UserError(f"{flag} {name}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    loaded = getattr(module, function, None)
    if not callable(loaded):
        raise UserError(f"{flag} {name}: there is no function {function!r} in {where!r}")
    return loaded


def _of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"'{path}' does not exist")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
