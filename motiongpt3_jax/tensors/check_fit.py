"""Comparison of a state dict's names and shapes with those of a model, told in one error."""

import re
from collections.abc import Callable, Collection, Mapping

from motiongpt3_jax.errors import UserError

LAYER = re.compile(r"\.(\d+)\.")

Shapes = Mapping[str, tuple[int, ...]]


def check_fit(state: Shapes, expected: Shapes, needed: Collection[str]) -> None:
    """Raises one error about everything that does not fit.

    Args:
      state: shapes of the state dict.
      expected: shapes of all tensors that the model knows.
      needed: names of those that may not be missing.
    """
    missing = sorted(set(needed) - state.keys())
    unexpected = sorted(state.keys() - expected.keys())
    wrong = sorted(key for key in expected.keys() & state.keys() if expected[key] != state[key])
    if not missing and not unexpected and not wrong:
        return
    wrapping = next((key.removesuffix(missing[0]) for key in unexpected if missing and key.endswith(missing[0])), "")
    if wrapping and all(wrapping + key in state for key in needed):
        raise UserError(f"every name in the state dict begins with {wrapping!r}; take that away and it fits the model")
    free = sorted(expected.keys() - state.keys())
    lines = _lines("missing {key} {shape}{more}", missing, expected, lambda key: _near(key, unexpected, state))
    lines += _lines("unexpected {key} {shape}{more}", unexpected, state, lambda key: _near(key, free, expected))
    lines += _lines("{key} has shape {shape}{more}", wrong, state, lambda key: f", expected {expected[key]}")
    raise UserError(
        f"the state dict does not fit the model: {len(missing)} missing, {len(unexpected)} unexpected, {len(wrong)} of "
        "another shape. Compare the config's sizes with the checkpoint's:\n  " + "\n  ".join(lines)
    )


def _lines(text: str, keys: Collection[str], shapes: Shapes, more: Callable[[str], str]) -> list[str]:
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


def _near(key: str, candidates: Collection[str], shapes: Shapes) -> str:
    """A remark that names the candidate which shares most of its beginning and its end with `key`."""

    def shared(other: str) -> int:
        return _alike(key, other) + _alike(key[::-1], other[::-1])

    nearest = max(candidates, key=shared, default="")
    return f"; nearest: {nearest} {shapes[nearest]}" if nearest and shared(nearest) >= len(key) / 2 else ""


def _alike(a: str, b: str) -> int:
    """How many first characters agree."""
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
