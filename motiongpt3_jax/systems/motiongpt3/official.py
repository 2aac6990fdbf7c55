"""Official state dicts to parameters and back, by the name table."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.motiongpt3.name_table import TIED, Entry, entries

if TYPE_CHECKING:
    from motiongpt3_jax.systems.motiongpt3 import MotionGPT3Config

IGNORED = ("metrics.", "_losses.")
"""Keys that begin so belong to the official evaluation, not to the model."""

LAYER = re.compile(r"\.(\d+)\.")


def from_official(state: Mapping[str, Any], config: "MotionGPT3Config", prefix: str = "") -> dict[str, Any]:
    """The parameters of an official state dict, float32.

    Args:
      state: tensors by their official names; anything that numpy can read.
      config: the model's sizes.
      prefix: take only the part of the model whose official names begin so ("vae.", "lm.language_model."), and let
        whatever else the state dict holds alone.

    Returns:
      A nested dictionary with our parameters of that part.

    Raises:
      UserError: names every missing, unexpected and wrongly shaped tensor, and tied tensors that differ.
    """
    table = [entry for entry in entries(config) if entry.key.startswith(prefix)]
    if not table:
        raise UserError(f"no official name begins with {prefix!r}; parts are 'vae.', 'lm.' and what lies below them")
    given = {key: state[key] for key in state if key.startswith(prefix) and not key.startswith(IGNORED)}
    require_fit(given, table)
    return assembled(table, given)


def require_fit(state: Mapping[str, Any], table: Collection[Entry]) -> None:
    """Raises UserError unless the tensors are those of the table, and tied ones are equal."""
    check_fit({key: tuple(value.shape) for key, value in state.items()}, table)
    for copy, key in TIED.items():
        if copy in state and key in state and not np.array_equal(np.asarray(state[copy]), np.asarray(state[key])):
            raise UserError(f"{copy} differs from {key}; the model shares one table, so they must be equal")


def assembled(table: Collection[Entry], given: Mapping[str, Any]) -> dict[str, Any]:
    """Nested parameters, float32, from tensors that fit the table; what is optional and absent is zero."""
    stacks: dict[str, dict[int | None, np.ndarray]] = {}
    for entry in table:
        tensor = np.asarray(given[entry.key], np.float32) if entry.key in given else np.zeros(entry.shape, np.float32)
        stacks.setdefault(entry.path, {})[entry.index] = entry.ours(tensor)
    params: dict[str, Any] = {}
    for path, slices in stacks.items():
        *parents, name = path.split("/")
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = slices[None] if None in slices else np.stack([slices[index] for index in range(len(slices))])
    return params


def to_official(params: Mapping[str, Any], config: "MotionGPT3Config", prefix: str = "") -> dict[str, np.ndarray]:
    """The official state dict of our parameters, tied tensors under all of their names.

    Args:
      params: nested parameters; those that `prefix` asks for must be there.
      config: the model's sizes.
      prefix: write only the part whose official names begin so.

    Raises:
      UserError: a parameter is missing, or has another shape than the sizes say.
    """
    parts: dict[str, list[np.ndarray]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    axes: dict[str, int] = {}
    for entry in entries(config):
        if entry.key.startswith(prefix):
            parts.setdefault(entry.key, []).append(entry.theirs(_leaf(params, entry.path)))
            shapes[entry.key], axes[entry.key] = entry.shape, entry.axis
    state = {key: pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axes[key]) for key, pieces in parts.items()}
    for key, tensor in state.items():
        if tensor.shape != shapes[key]:
            raise UserError(f"{key} would have shape {tensor.shape}; the config's sizes say {shapes[key]}")
    state = {key: np.ascontiguousarray(tensor) for key, tensor in state.items()}
    return state | {copy: state[key] for copy, key in TIED.items() if key in state and copy.startswith(prefix)}


def _leaf(params: Mapping[str, Any], path: str) -> np.ndarray:
    node: Any = params
    for part in path.split("/"):
        if part not in node:
            raise UserError(f"the parameters have no {path!r}: {part!r} is missing; is this another system's model?")
        node = node[part]
    return np.asarray(node)


def check_fit(found: Mapping[str, tuple[int, ...]], table: Collection[Entry]) -> None:
    """Raises one error about everything that does not fit."""
    expected = {entry.key: entry.shape for entry in table}
    needed = {entry.key for entry in table if not entry.optional}
    known = expected | {copy: expected[key] for copy, key in TIED.items() if key in expected}
    missing = sorted(needed - found.keys())
    unexpected = sorted(found.keys() - known.keys())
    wrong = sorted(key for key in known.keys() & found.keys() if known[key] != found[key])
    if not missing and not unexpected and not wrong:
        return
    wrapping = next((key.removesuffix(missing[0]) for key in unexpected if missing and key.endswith(missing[0])), "")
    if wrapping and all(wrapping + key in found for key in needed):
        raise UserError(f"every name in the state dict begins with {wrapping!r}; take that away and it fits the model")
    free = sorted(known.keys() - found.keys())
    lines = _lines("missing {key} {shape}{more}", missing, known, lambda key: _near(key, unexpected, found))
    lines += _lines("unexpected {key} {shape}{more}", unexpected, found, lambda key: _near(key, free, known))
    lines += _lines("{key} has shape {shape}{more}", wrong, found, lambda key: f", expected {known[key]}")
    raise UserError(
        f"the state dict does not fit the model: {len(missing)} missing, {len(unexpected)} unexpected, {len(wrong)} of "
        "another shape. Compare the config's sizes with the checkpoint's:\n  " + "\n  ".join(lines)
    )


def _lines(
    text: str, keys: Collection[str], shapes: Mapping[str, tuple[int, ...]], more: Callable[[str], str]
) -> list[str]:
    """A line for each key, or for those of one shape that differ in the number of their layer alone."""
    alike: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for key in keys:
        alike.setdefault((LAYER.sub(".*.", key, count=1), shapes[key]), []).append(key)
    lines = []
    for (pattern, shape), group in alike.items():
        line = text.format(key=group[0] if len(group) == 1 else pattern, shape=shape, more=more(group[0]))
        numbers = sorted(int(LAYER.search(key)[1]) for key in group) if len(group) > 1 else []
        lines.append(line + (f"; * is {', '.join(map(str, numbers))}" if numbers else ""))
    return lines


def _near(key: str, candidates: Collection[str], shapes: Mapping[str, tuple[int, ...]]) -> str:
    """A remark that names the candidate which shares most of its beginning and its end with `key`."""

    def shared(other: str) -> int:
        return _alike(key, other) + _alike(key[::-1], other[::-1])

    nearest = max(candidates, key=shared, default="")
    return f"; nearest: {nearest} {shapes[nearest]}" if nearest and shared(nearest) >= len(key) / 2 else ""


def _alike(a: str, b: str) -> int:
    """How many first characters agree."""
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
