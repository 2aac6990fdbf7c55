"""Finds a config by name or path, and overrides single values."""

import ast
import importlib
import inspect
import os
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from motiongpt3_jax.data_pipelines.sources import LEAST_FRAMES
from motiongpt3_jax.errors import UserError

NO_CONFIGS = ("__init__", "language_model", "load", "motion_codes", "sections", "sizes")
"""Modules of this folder that hold no config."""

NOT_LITERALS = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)
"""What Python raises for text that is no literal."""


def load_config(name: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """The config `MODULE[:VARIANT[:official]]`, where MODULE is a name in this folder or a path to a Python file.

    Args:
      name: such as `motiongpt3:base`, `motiongpt3:base:official` or `my/config.py:variant`.
      overrides: `key.of.value=literal`, each for a key that exists.

    Raises:
      UserError: for an unknown config, key, or a value of another type; says what there is. A config file that cannot
        be run is named with the line where it fails.
    """
    module_name, *arguments = name.split(":")
    if module_name.endswith(".py"):
        config = _from_file(module_name, arguments)
    else:
        config = _from_house(module_name, arguments)
    source = _source(config)
    for override in overrides:
        _override(config, override)
    if not any(override.startswith("data.min_frames=") for override in overrides):
        _follow_source(config, source)
    return config


def _source(config: ConfigDict) -> Any:
    """The source of a config's clips; None where it has no such section."""
    return config.data.get("source") if isinstance(config.get("data"), ConfigDict) else None


def _follow_source(config: ConfigDict, before: Any) -> None:
    """Sets the shortest clip of a source that an override names, where the config has the usual one of its own."""
    source = _source(config)
    known = before in LEAST_FRAMES and source in LEAST_FRAMES
    if known and source != before and config.data.get("min_frames") == LEAST_FRAMES[before]:
        config.data.min_frames = LEAST_FRAMES[source]


def _from_house(name: str, arguments: Sequence[str]) -> ConfigDict:
    here = Path(__file__).parent
    known = sorted(p.stem for p in here.glob("*.py") if p.stem not in NO_CONFIGS)
    if name not in known:
        raise UserError(f"no config {name!r}; there are: {', '.join(known)}; or give a path that ends in .py")
    get_config = importlib.import_module(f"{__package__}.{name}").get_config
    _require_arguments(get_config, arguments, f"config {name}")
    return get_config(*arguments)


def _from_file(name: str, arguments: Sequence[str]) -> ConfigDict:
    """The config that a file's `get_config` returns; whatever its code raises is said in a sentence."""
    path = Path(os.path.expanduser(name))
    if not path.is_file():
        raise UserError(f"config file {name!r} does not exist")
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    # Not imported: that would leave bytecode beside it, and read it where two edits are within a second.
    _running(path, lambda: exec(compile(path.read_bytes(), path, "exec"), module.__dict__))
    get_config = _function_of(module, path)
    _require_arguments(get_config, arguments, f"config file '{path}'")
    config = _running(path, get_config, *arguments)
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"config file '{path}': get_config returns a {type(config).__name__}; return an ml_collections.ConfigDict"
        )
    return _running(path, lambda: ConfigDict(config.to_dict()))


def _function_of(module: ModuleType, path: Path) -> Callable[..., Any]:
    get_config = getattr(module, "get_config", None)
    if not callable(get_config):
        raise UserError(f"config file '{path}' has no function get_config; write one that returns a ConfigDict")
    return get_config


def _running(path: Path, call: Callable[..., Any], *arguments: Any) -> Any:
    """Runs code of a user's file.

    Raises:
      UserError: it raised anything, or asked to leave; names the file and the line.
    """
    try:
        return call(*arguments)
    except (Exception, SystemExit) as error:  # any code may stand there
        raise UserError(f"config file '{path}'{_place(path, error)}: {_cause(error)}") from error


def _place(path: Path, error: BaseException) -> str:
    """The last line of the file that led to an error."""
    if isinstance(error, SyntaxError) and error.filename == str(path) and error.lineno:
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def _cause(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(str(text).split())}"


def _require_arguments(get_config: Callable[..., Any], arguments: Sequence[str], whose: str) -> None:
    try:
        inspect.signature(get_config).bind(*arguments)
    except (TypeError, ValueError) as error:
        words = ":".join(arguments)
        raise UserError(f"{whose} does not take {words!r} behind its name ({error})") from None


def _override(config: ConfigDict, override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator:
        raise UserError(f"override {override!r} has no value; write --config.{override}=VALUE")
    *path, last = key.split(".")
    node = config
    for part in path:
        node = node[part] if isinstance(node, ConfigDict) and part in node else None
    if not isinstance(node, ConfigDict) or last not in node:
        keys = ", ".join(sorted(map(str, node))) if isinstance(node, ConfigDict) else "nothing"
        raise UserError(f"the config has no {key!r}; beside it there is: {keys}")
    try:
        value = ast.literal_eval(text)
    except NOT_LITERALS:
        value = text
    old = node[last]
    # A section without values, as `model.lora`, has none to set one of.
    empty = isinstance(old, ConfigDict) and not len(old)
    if empty and isinstance(value, dict):
        value = ConfigDict(value)
    elif empty:
        raise UserError(f"config.{key} is a section, not {type(value).__name__} ({text[:60]}): give a dictionary")
    elif isinstance(old, ConfigDict):
        raise UserError(
            f"config.{key} is a section; set one of its values: {', '.join(f'{key}.{name}' for name in old)}"
        )
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = _as_float(key, value)
    if isinstance(old, tuple) and isinstance(value, list):
        value = tuple(value)
    # Which values may be None, and be other than None, is known where the config is checked.
    if old is not None and value is not None and type(value) is not type(old):
        raise UserError(f"config.{key} is {type(old).__name__} ({old!r}), not {type(value).__name__} ({text[:60]})")
    with node.ignore_type():
        node[last] = value


def _as_float(key: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise UserError(f"config.{key} is float, and has more digits here than any float") from None
