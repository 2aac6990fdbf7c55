"""Rematerialization (gradient checkpointing) policies by name: what a layer keeps for its backward pass."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import flax.linen as nn
import jax

Layer = TypeVar("Layer", bound=type[nn.Module])
Target = TypeVar("Target", bound=Callable[..., Any])

NONE = "none"
"""Keeps whatever the backward pass reads."""

ATTENTION = "attention"
"""Name of what an attention kernel takes and gives, which policies that keep products keep too."""


def _with_attention(policy: Callable[..., Any]) -> Callable[..., Any]:
    policies = jax.checkpoint_policies
    return policies.save_from_both_policies(policy, policies.save_only_these_names(ATTENTION))


POLICIES: Mapping[str, Callable[..., Any] | None] = {
    NONE: None,
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": _with_attention(jax.checkpoint_policies.dots_saveable),
    "dots_no_batch": _with_attention(jax.checkpoint_policies.dots_with_no_batch_dims_saveable),
}
"""From names to those of JAX, from most memory to least: none, dots, dots_no_batch, full."""


def remat(layer: Layer, policy: str, looped: bool = True, static: Sequence[int] = ()) -> Layer:
    """A Flax module that computes again, in its backward pass, what a policy does not keep.

    Args:
      layer: the module's class.
      policy: one of `POLICIES`.
      looped: whether it is the body of a compiled loop, where XLA cannot join both computations into one again.
      static: numbers of the arguments of `__call__` that are no arrays; `self` is 0.
    """
    if policy == NONE:
        return layer
    return nn.remat(layer, policy=POLICIES[policy], prevent_cse=not looped, static_argnums=tuple(static))


def recomputed_in_scan(target: Target, scanned: bool, static: Sequence[int] = ()) -> Target:
    """A Flax module's class or method whose elementwise work is done again in the backward pass of a scan over layers.

    A scan writes what a layer keeps into stacks and reads it there; outside of one, XLA would join both computations.
    """
    return nn.remat(target, prevent_cse=False, static_argnums=tuple(static)) if scanned else target


def policy_name(value: Any) -> Any:
    """The policy that a value of an older config stands for, where a truth value said whether layers are recomputed."""
    return {True: "full", False: NONE}[value] if isinstance(value, bool) else value
