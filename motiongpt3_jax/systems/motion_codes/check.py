"""Validation of sections of a config that systems with codes of motion share: layout and objectives."""

from collections.abc import Mapping
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.motion_codes.config import LanguageObjective, TokenizerObjective
from motiongpt3_jax.systems.motion_codes.drafts import LayoutOptions
from motiongpt3_jax.values import from_values

OBJECTIVES = {"tokenizer": TokenizerObjective, "language": LanguageObjective}
"""The objective of each loss."""


def read_layout(values: Any, path: str = "layout") -> LayoutOptions:
    """The section `layout` of a config.

    Raises:
      UserError: an option is none; says which.
    """
    return from_values(LayoutOptions, values, path)


def read_objective(loss: Any, values: Any, path: str = "objective") -> TokenizerObjective | LanguageObjective:
    """The section `objective` of a stage.

    Args:
      loss: the stage's loss.
      values: the section with its weights and switches.
      path: where it stands, as errors name it.

    Raises:
      UserError: there is no such loss, or the loss no such weight.
    """
    if not isinstance(loss, str) or loss not in OBJECTIVES:
        raise UserError(f"there is no loss {loss!r}; choose one of {', '.join(OBJECTIVES)}")
    return from_values(OBJECTIVES[loss], values, path)


def fill_distance(stages: Mapping[str, Any]) -> dict[str, Any]:
    """The stages of a config from before the distance in the motion tokenizer's loss had a choice."""
    return {name: _fill_distance(stage) for name, stage in stages.items()}


def _fill_distance(stage: Any) -> Any:
    objective = stage.get("objective") if isinstance(stage, Mapping) else None
    if not isinstance(objective, Mapping) or stage.get("loss") != "tokenizer":
        return stage
    return {**stage, "objective": {"distance": "smooth_l1", **objective}}


def check_positions(most: int | None, layout: LayoutOptions, path: str) -> None:
    """Raises UserError when sequences may be longer than a decoder has positions."""
    if most is not None and layout.max_length > most:
        raise UserError(
            f"{path}.layout.max_length is {layout.max_length}, and {path}.model.language.max_positions {most}: take a "
            "shorter one, or more positions"
        )
