"""Section `model.lora` of a config: LoRA adapters by their names, and which one is used for what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.lora import Adapter, Adapters
from motiongpt3_jax.systems.interface import Makes
from motiongpt3_jax.values import PATTERN, Rule, check_value, from_values, one_of, real, sequence_of, setting, whole

NAME = Rule(
    "a word of letters, digits and _", lambda value: isinstance(value, str) and value.isidentifier() and value.isascii()
)
MAKES = ("motion", "text")
"""What an adapter may be used for, of one person."""

PAIR_MAKES = ("pair", "pair_text")
"""The same of two people."""


@dataclass(frozen=True)
class AdapterSection:
    """A section of `model.lora`: one adapter.

    Attributes:
      rank, alpha, dropout, targets: see `models.Adapter`.
      makes: what a loaded model uses it for: "motion", "text", of two people "pair" and "pair_text"; or nothing.
    """

    rank: int = setting(whole(1, 2**14))
    alpha: float = setting(real(0, 1e6, above=True))
    dropout: float = setting(real(0, 1, below=True))
    targets: tuple[str, ...] = setting(sequence_of(PATTERN, least=1))
    makes: tuple[str, ...] = setting(sequence_of(one_of(*MAKES, *PAIR_MAKES)))


def read_adapters(values: Mapping[str, Any], path: str = "model.lora") -> Adapters:
    """The adapters of a section `model.lora`, none of them in use.

    Raises:
      UserError: a value is none, or two adapters are used for the same; says which.
    """
    sections = {}
    for name, section in values.items():
        check_value(f"a name in {path}", name, NAME)
        sections[name] = from_values(AdapterSection, section, f"{path}.{name}")
    for makes in (*MAKES, *PAIR_MAKES):
        several = [name for name, section in sections.items() if makes in section.makes]
        if len(several) > 1:
            raise UserError(
                f"{path}: {' and '.join(several)} are both used for {makes}; leave it out of `makes` of one"
            )
    return Adapters(tuple(Adapter(name, s.rank, s.alpha, s.dropout, tuple(s.targets)) for name, s in sections.items()))


def adapter_for(values: Mapping[str, Any], makes: Makes) -> str | None:
    """Name of the adapter with which a loaded model makes motions, or texts; None for none."""
    return next((name for name, section in values.items() if makes in section["makes"]), None)


def check_used_adapter(name: str, values: Mapping[str, Any], path: str) -> None:
    """Raises UserError when a stage's objective uses an adapter that the model has not.

    Args:
      name: of the adapter; "" for none.
      values: the section `model.lora`.
      path: where the name stands.
    """
    if name and name not in values:
        there = f"has: {', '.join(values)}" if values else "is empty"
        raise UserError(f"{path} is {name!r}, and config.model.lora {there}; name one of it, or leave this empty")


def fill_adapters(stages: Mapping[str, Any]) -> Mapping[str, Any]:
    """The stages of a config from before there were adapters: their language losses use none."""
    return {name: _fill_adapter(stage) for name, stage in stages.items()}


def _fill_adapter(stage: Any) -> Any:
    objective = stage.get("objective") if isinstance(stage, Mapping) else None
    # Losses of motions alone weigh no text.
    if not isinstance(objective, Mapping) or "text" not in objective:
        return stage
    return {**stage, "objective": {"adapter": "", **objective}}
