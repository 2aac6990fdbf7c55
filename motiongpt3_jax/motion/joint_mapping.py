"""Joint mapping of a file, by its user: names of joints, unit, vertical axis, whether it is a mirror image.

    {"pelvis": "Bone", "left_hip": "Bone.004", "spine2": ["Bone.001", "Bone.002"], "unit": 0.01, "up": "z"}

Joints go from ours to the file's; two names mean the point midway. A mapping only has to hold what is not recognised,
or wrongly. `unit` is the metres in a unit of the file, `up` the axis that is vertical in it ("y", "-z", ...), and
`"mirrored": true` says that the file shows people as a mirror does. Names of joints matter in `.bvh` files alone, the
rest in every file.
"""

import difflib
import json
import os
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.motion.lfs import refuse_lfs_pointer
from motiongpt3_jax.motion.motion import positive
from motiongpt3_jax.motion.skeleton import HUMANML3D

AXES = {
    "y": ((0, 1), (1, 1), (2, 1)),
    "z": ((0, 1), (2, 1), (1, -1)),
    "x": ((1, -1), (0, 1), (2, 1)),
    "-y": ((0, 1), (1, -1), (2, -1)),
    "-z": ((0, 1), (2, -1), (1, 1)),
    "-x": ((1, 1), (0, -1), (2, 1)),
}
"""What may be up in a file, with our x, y and z as axes of that file, and their signs."""

ABOUT_FILE = ("unit", "up", "mirrored")
"""Keys of a mapping that are no joints."""


def load_mapping(path: str | os.PathLike[str] | Mapping[str, Any] | None) -> dict[str, Any]:
    """Load and validate a mapping: a dictionary, a JSON file, or JSON text that begins with a brace; empty for None.

    Raises:
      FileNotFoundError: there is none.
      UserError: it holds something else.
    """
    if path is None or isinstance(path, Mapping):
        return check_mapping(path or {})
    is_json = str(path).lstrip().startswith("{")
    what = "mapping" if is_json else f"--mapping '{path}'"
    if not is_json and not Path(path).is_file():
        raise FileNotFoundError(
            f'{what} does not exist; give a JSON file such as {{"pelvis": "Hips"}}, or the JSON itself.'
        )
    if not is_json:
        refuse_lfs_pointer(path, what)
    try:
        mapping = json.loads(str(path) if is_json else Path(path).read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise UserError(f"{what} is not readable JSON ({reason}).") from None
    return check_mapping(mapping, what)


def check_mapping(mapping: Any, what: str = "mapping") -> dict[str, Any]:
    """Validate a mapping; the same one with a tuple of names for each joint.

    Raises:
      UserError: a key that is no joint of ours, or a value that is no name, two names, unit or axis.
    """
    if not isinstance(mapping, Mapping):
        raise UserError(f"{what} holds a {type(mapping).__name__}; expected one object from our joints to the file's.")
    known = (*HUMANML3D.joints, *ABOUT_FILE)
    checked: dict[str, Any] = {}
    for key, value in mapping.items():
        if key not in known:
            raise UserError(
                f"{what} names {reprlib.repr(key)}, which is no joint of ours{did_you_mean(str(key), known)}: "
                f"{', '.join(known)}."
            )
        value = (value,) if isinstance(value, str) and key not in ABOUT_FILE else value
        if not _CHECKS.get(key, _is_names)(value):
            raise UserError(
                f"{what} has {reprlib.repr(mapping[key])} for '{key}'; expected a name or two names of the file's "
                f"joints, for 'unit' the metres in a unit of the file, for 'up' {', '.join(AXES)}, for 'mirrored' true."
            )
        checked[key] = value if key in ABOUT_FILE else tuple(value)
    return checked


def _is_names(value: Any) -> bool:
    few = isinstance(value, list | tuple) and len(value) in (1, 2)
    return few and all(isinstance(name, str) for name in value)


_CHECKS = {
    "unit": lambda value: positive(value) and not isinstance(value, bool) and 1e-9 <= value <= 1e9,
    "up": lambda value: isinstance(value, str) and value in AXES,
    "mirrored": lambda value: isinstance(value, bool),
}


def to_y_up(
    joints: Float[np.ndarray, "*batch joints 3"], up: str = "y", mirrored: bool = False
) -> Float[np.ndarray, "*batch joints 3"]:
    """Change of axes to y up, from `up`; and left and right as they are where a mirror showed them."""
    upright = np.stack([sign * joints[..., axis] for axis, sign in AXES[up]], axis=-1)
    return upright * np.array([-1, 1, 1], upright.dtype) if mirrored else upright


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Spelling suggestion: a question after the most similar of some names, or nothing."""
    close = difflib.get_close_matches(name[:100], list(names), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
