"""The parts of a model that may come trained from elsewhere, by the patterns of their parameters."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from motiongpt3_jax.models.lora import LORA
from motiongpt3_jax.systems.weights import Weights


def of_parts(params: Mapping[str, Any], parts: Collection[str], weights: Weights, path: str = "") -> dict[str, Any]:
    """The nested parameters of some parts alone."""
    chosen = {}
    for name, value in params.items():
        here = f"{path}{name}"
        if isinstance(value, Mapping):
            below = of_parts(value, parts, weights, f"{here}/")
            chosen |= {name: below} if below else {}
        elif next((part for part, pattern in weights.parts.items() if re.fullmatch(pattern, here)), None) in parts:
            chosen[name] = value
    return chosen


def part_patterns(weights: Weights, parts: Collection[str]) -> tuple[str, ...]:
    """Patterns of the paths of some parts alone; the pattern of a later part may match those of earlier ones too."""
    patterns, before = [], []
    for part, pattern in weights.parts.items():
        others = "|".join(f"(?:{earlier})" for earlier in before)
        if part in parts:
            patterns.append(f"(?!(?:{others})$)(?:{pattern})" if others else pattern)
        before.append(pattern)
    return tuple(patterns)


def base_patterns(patterns: Collection[str], adapters: Collection[str] = ()) -> tuple[str, ...]:
    """The same patterns of paths without LoRA adapters, but for those of some names."""
    names = "|".join(map(re.escape, adapters))
    others = rf"(?!.*/{LORA}/(?!(?:{names})/))" if names else rf"(?!.*/{LORA}/)"
    return tuple(f"{others}(?:{pattern})" for pattern in patterns)


def differences(
    trained: Mapping[str, Any], wanted: Mapping[str, Any], parts: Collection[str], weights: Weights
) -> list[str]:
    """What to add to a `train` command so that the config has the sizes of parts that come trained.

    Args:
      trained: the section `model` of the config that they were trained with.
      wanted: that of the config to come.
      parts: which parts are taken.
      weights: the system's parts and their sizes.
    """
    options = {}
    for part in parts:
        for section, names in weights.part_sizes.get(part, {}).items():
            for name in names:
                if trained[section][name] != wanted[section][name]:
                    options[f"--config.model.{section}.{name}"] = trained[section][name]
    return [f"{name}={value}" for name, value in options.items()]
