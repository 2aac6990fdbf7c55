"""Validation of plain values of a config or a JSON file, and their conversion to dataclasses."""

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from motiongpt3_jax.errors import UserError

MOST_SHOWN = 60
"""Characters of a wrong value that an error repeats."""


@dataclass(frozen=True)
class Rule:
    """What a value must be.

    Attributes:
      words: the same in words, as the end of a sentence: "a whole number from 1 to 64".
      holds: whether a value is that.
    """

    words: str
    holds: Callable[[Any], bool]


def whole(least: int, most: int) -> Rule:
    """A whole number in a closed range; a truth value is none."""
    return Rule(
        f"a whole number from {least} to {most}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most,
    )


def real(least: float, most: float, above: bool = False, below: bool = False) -> Rule:
    """A finite number in a range, which `above` and `below` leave open at its ends."""

    def holds(value: Any) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        # No comparison holds for NaN.
        return (value > least if above else value >= least) and (value < most if below else value <= most)

    ends = f"{'above' if above else 'from'} {least:g} {'and below' if below else 'to'} {most:g}"
    return Rule(f"a number {ends}", holds)


def none_or(rule: Rule) -> Rule:
    """None, or what the rule says."""
    return Rule(f"{rule.words}, or None", lambda value: value is None or rule.holds(value))


def sequence_of(rule: Rule, least: int = 0) -> Rule:
    """A tuple or a list of values."""
    return Rule(
        f"{'one or more in a tuple' if least else 'a tuple'}, each {rule.words}",
        lambda value: isinstance(value, tuple | list) and len(value) >= least and all(map(rule.holds, value)),
    )


def pair_of(first: Rule, second: Rule) -> Rule:
    """A tuple or a list of two values."""
    return Rule(
        f"a pair of {first.words} and {second.words}",
        lambda value: (
            isinstance(value, tuple | list) and len(value) == 2 and first.holds(value[0]) and second.holds(value[1])
        ),
    )


def one_of(*names: str) -> Rule:
    """One of some words."""
    return Rule(f"one of {', '.join(names)}", lambda value: isinstance(value, str) and value in names)


def _is_pattern(value: Any) -> bool:
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError, TypeError):
        return False
    return isinstance(value, str)


FLAG = Rule("True or False", lambda value: isinstance(value, bool))
TEXT = Rule("text", lambda value: isinstance(value, str) and "\0" not in value)
NAME = Rule("text that is not empty", lambda value: TEXT.holds(value) and bool(value.strip()))
PATTERN = Rule("a regular expression", _is_pattern)
SECTION = Rule("a section with keys", lambda value: isinstance(value, Mapping))

T = TypeVar("T")


def setting(rule: Rule) -> Any:
    """A field of a dataclass that `from_values` fills with a value that holds to a rule."""
    return field(metadata={"rule": rule})


def section(cls: type) -> Any:
    """A field of a dataclass that `from_values` fills with the dataclass of a nested section."""
    return field(metadata={"rule": SECTION, "class": cls})


def rules_of(cls: type) -> dict[str, Rule]:
    """The rules of a dataclass by the names of its fields; fields that no section fills have none."""
    return {item.name: item.metadata["rule"] for item in fields(cls) if "rule" in item.metadata}


def from_values(cls: type[T], values: Any, path: str, /, **others: Any) -> T:
    """The dataclass of a section of plain values, which must hold exactly its keys, each as its rule says.

    Args:
      cls: a dataclass whose fields are made by `setting` and `section`.
      values: the section.
      path: where it stands, as errors name it: "config.model.vae".
      others: fields that the section does not fill.

    Raises:
      UserError: names the key that is missing, unknown or wrong, and what it must be.
    """
    check_values(path, values, rules_of(cls))
    nested = {
        item.name: from_values(item.metadata["class"], values[item.name], f"{path}.{item.name}")
        for item in fields(cls)
        if "class" in item.metadata
    }
    return cls(**{**values, **nested, **others})


def check_values(
    path: str, values: Any, rules: Mapping[str, Rule], optional: Collection[str] = (), others: bool = False
) -> None:
    """Raises UserError when a section lacks a key, has one that there is not, or one of another kind or range.

    Args:
      path: where the section stands, as errors name it: "model.vae".
      values: the section.
      rules: what each key must be.
      optional: keys that may be missing.
      others: whether there may be further keys.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{path} is {shown(values)}; it must be {SECTION.words}")
    for key, rule in rules.items():
        if key not in values and key not in optional:
            near = difflib.get_close_matches(key, [str(other) for other in values if other not in rules], n=1)
            raise UserError(f"{path} has no {key!r}" + (f"; is {near[0]!r} meant to be it?" if near else ""))
        if key in values:
            check_value(f"{path}.{key}", values[key], rule)
    unknown = [] if others else [key for key in values if key not in rules]
    if unknown:
        raise UserError(f"{path} has the unknown key {shown(unknown[0])}; there are: {', '.join(rules)}")


def check_value(path: str, value: Any, rule: Rule) -> None:
    """Raises UserError when one value is not what it must be."""
    if not rule.holds(value):
        raise UserError(f"{path} is {shown(value)}; it must be {rule.words}")


def shown(value: Any) -> str:
    """A value as an error repeats it: in one line, and not all of it."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # numbers of thousands of digits, lists in lists in lists
        text = f"a {type(value).__name__} too large to show"
    text = " ".join(text.split())
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
