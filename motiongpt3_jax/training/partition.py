"""Splitting parameters by their paths into what trains and what is frozen."""

import difflib
import re
from collections.abc import Sequence

from flax.traverse_util import flatten_dict, unflatten_dict

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


def merge(trainable: Tree, frozen: Tree) -> Tree:
    """What `split` took apart."""
    return unflatten_dict(flatten_dict(frozen) | flatten_dict(trainable))


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
