"""Keyword options of an answer, checked against the dataclass that holds them: names and kinds of values."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, get_origin, get_type_hints

from motiongpt3_jax.errors import UserError

KINDS: Mapping[type, tuple[type, str]] = {
    bool: (bool, "True or False"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "a word"),
    tuple: (Iterable, "whole numbers in a list"),
}
"""What a value of a field may be, and how an error calls it."""


def known_options(options: Mapping[str, Any], of: type, without: tuple[str, ...] = ("end",)) -> Mapping[str, Any]:
    """Validates keyword options of an answer against the dataclass that holds them; returns them, lists as tuples.

    Args:
      options: by name.
      of: the dataclass that holds them; what each value is worth, it checks itself.
      without: fields of it that nobody sets.

    Raises:
      UserError: one is none of those that there are, or not of their kind.
    """
    types = {name: kind for name, kind in get_type_hints(of).items() if name not in without}
    names = [field.name for field in fields(of) if field.name in types]
    checked = {}
    for name, value in options.items():
        if name not in names:
            raise UserError(f"there is no option {name!r}; there are: {', '.join(names)}")
        field = get_origin(types[name]) or types[name]
        kind, what = KINDS[field]
        wrong = (isinstance(value, bool) and kind is not bool) or (isinstance(value, str) and kind is not str)
        if wrong or not isinstance(value, kind):
            raise UserError(f"the option {name} is {value!r}: give {what}")
        checked[name] = tuple(value) if field is tuple else value
    return checked
