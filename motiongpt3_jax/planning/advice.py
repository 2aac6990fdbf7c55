"""What to change where a train step does not fit into a chip's memory."""

from collections.abc import Mapping

from motiongpt3_jax.experiment.config import RunConfig
from motiongpt3_jax.models.remat import NONE
from motiongpt3_jax.planning.results import Memory


def advice(memory: Memory, stage: str, rows: int, config: RunConfig, axes: Mapping[str, int]) -> str | None:
    """A sentence with what spares most, as arguments; None where everything fits.

    Args:
      memory: of a chip.
      stage: its name.
      rows: of its batch, over all chips.
      config: of the run.
      axes: of the mesh.
    """
    if memory.fits is not False:
        return None
    kept = memory.parameters + memory.optimizer + memory.frozen
    steps = []
    if kept > memory.capacity / 4 and axes["data"] > 1:
        steps.append(
            f"--config.mesh.fsdp={axes['data'] * axes['fsdp']} splits {kept / 2**30:.1f} GiB that every chip holds"
        )
    if config.values["model"].get("dtype") == "float32":
        steps.append("--config.model.dtype=bfloat16 halves what is kept for the backward pass")
    steps += [f"--config.{path}=full computes each layer again instead" for path in remat_off(config.values["model"])]
    each = rows // (axes["data"] * axes["fsdp"])
    if each > config.stages[stage].optimizer.accumulate:
        steps.append(f"--config.stages.{stage}.optimizer.accumulate={each} takes one row of each chip at a time")
    if not steps:
        steps.append("take a larger slice, or shorter rows")
    return "; or ".join(steps)


def remat_off(model: Mapping[str, object], path: str = "model") -> list[str]:
    """Paths of the switches of recomputation that are off."""
    found = []
    for name, value in model.items():
        if name == "remat" and value == NONE:
            found.append(f"{path}.remat")
        elif isinstance(value, Mapping):
            found += remat_off(value, f"{path}.{name}")
    return found
