"""The registry of systems: from a config's `system` to what trains, answers and saves it.

Systems of other packages are found by their entry points:

    [project.entry-points."motiongpt3_jax.systems"]
    mysystem = "mypackage.mysystem:KIND"
"""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.kind import SystemKind

GROUP = "motiongpt3_jax.systems"

BUILT_IN = {
    "motiongpt3": "motiongpt3_jax.systems.motiongpt3.kind:KIND",
    "motiongpt": "motiongpt3_jax.systems.motiongpt.kind:KIND",
    "motionllm": "motiongpt3_jax.systems.motionllm.kind:KIND",
}


def system_names() -> list[str]:
    """Names of the systems that are installed."""
    return list(dict.fromkeys([*BUILT_IN, *(point.name for point in entry_points(group=GROUP))]))


@cache
def find_system(name: str) -> SystemKind:
    """The system of a name.

    Raises:
      UserError: there is no such system, or the package that brings it cannot be loaded.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=GROUP):
        if point.name == name:
            try:
                return point.load()
            except Exception as error:  # whatever a package raises
                brings = point.dist.name if point.dist else point.value
                raise UserError(
                    f"the system {name!r} of {brings} cannot be loaded ({error}); install it anew"
                ) from error
    raise UserError(f"unknown system {name!r}; there are: {', '.join(system_names())}")
