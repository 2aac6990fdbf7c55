"""Trainable and frozen parameters by path patterns: split, merge, select, cast."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict
from jax.typing import DTypeLike

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.interface import Tree


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns matches the whole path."""
    return any(re.fullmatch(pattern, path) for pattern in patterns)


def split(params: Tree, patterns: Sequence[str]) -> tuple[Tree, Tree]:
    """(trainable, frozen) parts of a nested dictionary.

    Raises:
      UserError: a pattern matches no path, or there is none.
    """
    flat = flatten_dict(params, sep="/")
    check(list(flat), patterns)
    trainable = {path: x for path, x in flat.items() if matches(path, patterns)}
    frozen = {path: x for path, x in flat.items() if path not in trainable}
    return unflatten_dict(trainable, sep="/"), unflatten_dict(frozen, sep="/")


def merge(*trees: Tree) -> Tree:
    """Nested dictionaries as one, as what `split` took apart; of a path that several have, the first counts."""
    flat: dict[tuple[str, ...], Any] = {}
    for tree in reversed(trees):
        flat |= flatten_dict(tree)
    return unflatten_dict(flat)


def paths_of(tree: Tree) -> set[str]:
    """Paths of the leaves of a nested dictionary."""
    return set(flatten_dict(tree, sep="/"))


def select(tree: Tree, paths: Iterable[str]) -> Tree:
    """The leaves of a nested dictionary that have one of the paths."""
    paths = set(paths)
    return unflatten_dict({path: x for path, x in flatten_dict(tree, sep="/").items() if path in paths}, sep="/")


def cast(params: Tree, dtypes: Sequence[tuple[str, DTypeLike]]) -> Tree:
    """Parameters in the dtype of the first pattern that matches their whole path; others as they are."""
    flat = flatten_dict(params, sep="/")
    for path, x in flat.items():
        dtype = next((dtype for pattern, dtype in dtypes if re.fullmatch(pattern, path)), x.dtype)
        flat[path] = x.astype(dtype)
    return unflatten_dict(flat, sep="/")


def check(paths: Sequence[str], patterns: Sequence[str]) -> None:
    """Raises UserError with near paths when a pattern matches none of the paths, or when there is no pattern."""
    if not patterns:
        raise UserError("no pattern of trainable parameters is given; name at least one, or '.*' for all.")
    for pattern in patterns:
        if any(re.fullmatch(pattern, path) for path in paths):
            continue
        below = [path for path in paths if re.match(rf"{pattern}/", path)]
        hint = f"did you mean '{pattern}/.*'" if below else f"near paths are {', '.join(near(pattern, paths))}"
        raise UserError(f"pattern '{pattern}' matches the whole path of no parameter; {hint}?".replace(".?", "?"))


def near(pattern: str, paths: Sequence[str]) -> list[str]:
    """Up to three paths that look most like a pattern."""
    plain = pattern.removesuffix("/.*")
    return difflib.get_close_matches(plain, paths, n=3, cutoff=0.0)
