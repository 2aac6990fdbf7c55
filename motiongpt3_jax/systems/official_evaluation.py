"""What official code saves of its evaluation beside a model: networks and sums that no model needs."""

from collections.abc import Mapping
from typing import TypeVar

PREFIXES = ("metrics.", "_losses.")
"""What the names of these tensors begin with."""

Value = TypeVar("Value")


def drop_evaluation(state: Mapping[str, Value]) -> tuple[dict[str, Value], str]:
    """(a state dict without the tensors of the evaluation, what was left out in a sentence, or nothing)."""
    left = sorted(key for key in state if key.startswith(PREFIXES))
    kinds = ", ".join(f"{prefix}*" for prefix in PREFIXES if any(key.startswith(prefix) for key in left))
    note = f"left out: {len(left)} tensors of the official evaluation ({kinds})" if left else ""
    return {key: state[key] for key in state if key not in left}, note
