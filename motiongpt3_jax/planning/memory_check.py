"""Memory check before training: whether the state and the step of every stage fit into the devices that are there."""

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import check_config, stages_to_run
from motiongpt3_jax.experiment.config import RunConfig
from motiongpt3_jax.experiment.run import check_devices
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.parallel import make_mesh
from motiongpt3_jax.parallel.sharding import row_shards
from motiongpt3_jax.planning.advice import advice
from motiongpt3_jax.planning.estimate import estimate_memory, trace_step
from motiongpt3_jax.planning.results import Memory
from motiongpt3_jax.planning.stage_program import chip_bytes, make_stage_program, model_spec, stage_rows
from motiongpt3_jax.systems.interface import ModelSpec


def check_memory(config: ConfigDict, capacity: float | None = None) -> list[str]:
    """Stages whose step may not fit into the devices' memory, by an estimate, a sentence each.

    Args:
      config: of the run.
      capacity: bytes of a device, instead of what it says; where neither is known, as on CPUs, nothing is checked.

    Raises:
      UserError: parameters and optimizer state of a stage exceed a device's memory; says what to change.
    """
    capacity = capacity or (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if capacity is None:
        return []
    checked = check_config(plain(config.to_dict()))
    check_devices(checked)
    axes = checked.mesh
    mesh = make_mesh(None if axes.data < 0 else axes.data, axes.fsdp, axes.tensor)
    try:
        spec = model_spec(checked)
    except UserError:  # a tokenizer that is not there: training says so itself
        return []
    warnings = []
    for name in stages_to_run(checked):
        rows = stage_rows(checked, name, mesh.shape)
        state = state_memory(checked, name, spec, mesh, capacity)
        change = advice(state, name, rows, checked, mesh.shape)
        if change:
            raise UserError(
                f"parameters and optimizer state of stage '{name}' take {_gib(state.peak)} GiB of each device, which "
                f"has {_gib(capacity)}: {change}"
            )
        step, _ = estimate_memory(trace_step(checked, name, spec, rows // row_shards(mesh.shape)), mesh, capacity)
        change = advice(step, name, rows, checked, mesh.shape)
        if change:
            warnings.append(
                f"stage '{name}' takes about {_gib(step.peak)} GiB of each device, which has {_gib(capacity)}, and may "
                f"not fit: {change}"
            )
    return warnings


def state_memory(config: RunConfig, stage: str, spec: ModelSpec, mesh: Mesh, capacity: float) -> Memory:
    """Parameters and optimizer state of a stage on each device, which are exact, and nothing else."""
    program = make_stage_program(config, stage, spec, mesh).program
    parameters = chip_bytes(program.state.params) + chip_bytes(program.state.ema)
    optimizer, frozen = chip_bytes(program.state.optimizer), chip_bytes(program.frozen)
    total = parameters + optimizer + frozen
    return Memory(capacity, total, total, 0.0, 0.0, parameters, optimizer, frozen)


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f}"
