"""Finds a config by name or path, and overrides single values."""

import ast
import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from ml_collections import ConfigDict


def load_config(name: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """The config `MODULE[:VARIANT[:official]]`, where MODULE is a name in this folder or a path to a Python file.

    Args:
      name: such as `motiongpt3:base`, `motiongpt3:base:official` or `my/config.py:variant`.
      overrides: `key.of.value=literal`, each for a key that exists.

    Raises:
      ValueError: for an unknown config, key, or a value of another type; says what there is.
    """
    module_name, *arguments = name.split(":")
    config = _module(module_name).get_config(*arguments)
    for override in overrides:
        _override(config, override)
    return config


def _module(name: str) -> ModuleType:
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise ValueError(f"config file {name!r} does not exist")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    here = Path(__file__).parent
    known = sorted(p.stem for p in here.glob("*.py") if p.stem not in ("__init__", "load"))
    if name not in known:
        raise ValueError(f"no config {name!r}; there are: {', '.join(known)}; or give a path that ends in .py")
    return importlib.import_module(f"{__package__}.{name}")


def _override(config: ConfigDict, override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator:
        raise ValueError(f"override {override!r} has no value; write --config.{override}=VALUE")
    *path, last = key.split(".")
    node = config
    for part in path:
        node = node[part] if isinstance(node, ConfigDict) and part in node else None
    if not isinstance(node, ConfigDict) or last not in node:
        keys = ", ".join(sorted(node)) if isinstance(node, ConfigDict) else "nothing"
        raise ValueError(f"the config has no {key!r}; beside it there is: {keys}")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    old = node[last]
    if isinstance(old, float) and isinstance(value, int):
        value = float(value)
    if isinstance(old, tuple) and isinstance(value, list):
        value = tuple(value)
    if old is not None and value is not None and type(value) is not type(old):
        raise ValueError(f"{key} is {type(old).__name__} ({old!r}), not {type(value).__name__} ({value!r})")
    with node.ignore_type():
        node[last] = value
