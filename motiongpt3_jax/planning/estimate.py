"""Analytic estimate of a train step without a compiler: memory, FLOPs, traffic, collectives and time of one chip.

The step is traced for the rows of one chip, as if it were alone; the mesh then says how parameters are split, and what
chips exchange because of it. Parameters and optimizer state are exact. Left out: the machine code, copies that a
compiler makes to change layouts, what the axis `tensor` spares of activations, and the sums over it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.interpreters import partial_eval
from jax.sharding import AbstractMesh, Mesh

from motiongpt3_jax.experiment.config import RunConfig
from motiongpt3_jax.experiment.run import make_stage
from motiongpt3_jax.parallel.collectives import Collective
from motiongpt3_jax.parallel.hlo import HloArray
from motiongpt3_jax.parallel.sharding import path_name, row_shards
from motiongpt3_jax.planning.chips import PRODUCTS, Slice
from motiongpt3_jax.planning.program_cost import Cost
from motiongpt3_jax.planning.results import Memory, StepTime
from motiongpt3_jax.planning.stage_program import batch_shapes, chip_bytes
from motiongpt3_jax.planning.step_time import collective_seconds
from motiongpt3_jax.planning.traced_flops import jaxpr_flops
from motiongpt3_jax.planning.traced_memory import jaxpr_memory, tiled_bytes
from motiongpt3_jax.systems.attention import choose_attention
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.registry import find_system
from motiongpt3_jax.training.arrays import rules_of, with_shardings
from motiongpt3_jax.training.optimizers import make_optimizer
from motiongpt3_jax.training.partition import cast, split
from motiongpt3_jax.training.state import new_state, stage_key
from motiongpt3_jax.training.step import make_train_step, report_names

HLO_NAMES: Mapping[str, str] = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""Dtypes as compiled programs name them."""

SMALL = 2**16
"""Numbers of an array from which on it is told by its shape that it is a parameter's gradient."""


@dataclass(frozen=True)
class StepTrace:
    """A train step traced for the rows of one chip.

    Attributes:
      rows: of one chip.
      jaxpr: of the step.
      flops: of its products.
      state, frozen, batch: shapes that it takes, whole.
      rules: how parameters are split.
      dtype: that the model computes in.
      gathers: how often a step takes each weight: in both passes, and once more where layers are computed again.
    """

    rows: int
    jaxpr: core.Jaxpr
    flops: float
    state: Any
    frozen: Any
    batch: Any
    rules: Any
    dtype: str
    gathers: int


@dataclass(frozen=True)
class Estimate:
    """What a step takes on one chip of a mesh, see `StagePlan`."""

    memory: Memory
    cost: Cost
    collectives: Sequence[Collective]
    time: StepTime


def trace_step(config: RunConfig, name: str, spec: ModelSpec, rows: int) -> StepTrace:
    """Traces the train step of a stage for so many rows on one chip; nothing is computed, and nothing compiled."""
    system = find_system(config.system).make_system(choose_attention(spec, "tpu"))
    stage, batch = make_stage(name, config), batch_shapes(config, name, spec, rows)
    variables = system.shapes
    names = report_names(system, stage, variables, batch)
    trainable, stored = split(variables.params, stage.trainable)
    state = jax.eval_shape(
        lambda params, moving: new_state(
            params,
            moving,
            make_optimizer(stage.optimizer, stage.steps),
            stage.optimizer.ema is not None,
            stage_key(config.seed, name),
            names,
        ),
        trainable,
        variables.state,
    )
    frozen = jax.eval_shape(lambda tree: cast(tree, system.dtypes), stored)
    closed = jax.make_jaxpr(make_train_step(system, stage))(state, frozen, batch)
    jaxpr = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)[0]
    return StepTrace(
        rows,
        jaxpr,
        jaxpr_flops(jaxpr),
        state,
        frozen,
        batch,
        rules_of(system, variables, config.mesh.sharding),
        config.values["model"].get("dtype", "float32"),
        3 if _recomputes(config.values["model"]) else 2,
    )


def _recomputes(values: Any) -> bool:
    """Whether some part of a model's config names a policy by which it is computed again."""
    if not isinstance(values, Mapping):
        return False
    return any(value != "none" if name == "remat" else _recomputes(value) for name, value in values.items())


def estimate_step(trace: StepTrace, mesh: Mesh | AbstractMesh, chips: Slice) -> Estimate:
    """What a traced step takes on each chip of a mesh."""
    memory, moved = estimate_memory(trace, mesh, chips.chip.hbm)
    cost = Cost(trace.flops / mesh.shape["tensor"], moved)
    collectives = _collectives(trace, _parameters(trace, mesh), mesh.shape, chips.slices)
    return Estimate(memory, cost, collectives, estimate_time(cost, collectives, chips))


@dataclass(frozen=True)
class _Parameter:
    """A parameter on a mesh.

    Attributes:
      shape: whole.
      part: share of it that a chip holds.
      fsdp: whether the axis `fsdp` splits it.
      layers: how many layers it is stacked of; 1 where it is not.
      trains: whether the stage trains it.
    """

    shape: tuple[int, ...]
    part: float
    fsdp: bool
    layers: int
    trains: bool


def _parameters(trace: StepTrace, mesh: Mesh | AbstractMesh) -> list[_Parameter]:
    return [
        _parameter(path, x, trains)
        for trains, tree in ((True, trace.state.params), (False, trace.frozen))
        for path, x in jax.tree.leaves_with_path(with_shardings(mesh, tree, trace.rules))
    ]


def _parameter(path: Any, x: Any, trains: bool) -> _Parameter:
    part = math.prod(x.sharding.shard_shape(x.shape)) / max(math.prod(x.shape), 1)
    stacked = "layers" in path_name(path).split("/") and len(x.shape) > 1
    fsdp = x.sharding.mesh.shape["fsdp"] > 1 and any("fsdp" in (axis or ()) for axis in _axes(x.sharding.spec))
    return _Parameter(tuple(x.shape), part, fsdp, x.shape[0] if stacked else 1, trains)


def _axes(spec: Any) -> list[tuple[str, ...]]:
    return [axis if isinstance(axis, tuple) else (axis,) if axis else () for axis in spec]


def estimate_memory(trace: StepTrace, mesh: Mesh | AbstractMesh, capacity: float) -> tuple[Memory, float]:
    """(memory of each chip, of which there are so many bytes; bytes that a step moves)."""
    state, frozen = (with_shardings(mesh, tree, trace.rules) for tree in (trace.state, trace.frozen))
    params = _parameters(trace, mesh)
    parts = {one.shape: one.part for one in params if one.part < 1 and math.prod(one.shape) >= SMALL}

    def size(shape: Sequence[int], dtype: Any) -> float:
        """Gradients and what becomes of them lie as their parameters do."""
        return tiled_bytes(shape, dtype) * parts.get(tuple(shape), 1.0)

    traced = jaxpr_memory(trace.jaxpr, size)
    shards = [(x.sharding.shard_shape(x.shape), x.dtype) for x in jax.tree.leaves((state, frozen))]
    shards += [(x.shape, x.dtype) for x in jax.tree.leaves(trace.batch)]
    arguments = sum(tiled_bytes(shape, dtype) for shape, dtype in shards)
    # A layer's weights are there whole while it is computed, and those of the next one on their way.
    width, split = jnp.dtype(trace.dtype).itemsize, [one for one in params if one.fsdp]
    whole = sum(math.prod(one.shape) / one.layers * (2 if one.layers > 1 else 1) for one in split)
    temporaries = traced.peak + whole * width
    # What is gathered is written and read whole.
    gathered = 2 * trace.gathers * width * sum(math.prod(one.shape) for one in split)
    return (
        Memory(
            capacity,
            arguments + temporaries,
            arguments,
            temporaries,
            0.0,
            chip_bytes(state.params) + chip_bytes(state.ema),
            chip_bytes(state.optimizer),
            chip_bytes(frozen),
        ),
        traced.moved + gathered,
    )


def _collectives(
    trace: StepTrace, params: Sequence[_Parameter], axes: Mapping[str, int], slices: int
) -> list[Collective]:
    """Weights that are split are gathered for both passes; gradients are summed, all of a kind in one.

    Sums over `data` are made within each slice, and then each chip's share of them between slices.
    """
    fsdp, data = axes["fsdp"], axes["data"]
    sums: dict[tuple[str, int], float] = {}

    def add(kind: str, group: int, count: float) -> None:
        if group > 1 and count:
            sums[kind, group] = sums.get((kind, group), 0.0) + count

    def add_sum(group: int, count: float) -> None:
        within = group // slices
        add("all-reduce", within, count)
        add("between-slices", slices, count / within)

    for one in params:
        numbers = math.prod(one.shape)
        if one.fsdp:
            # The axis `tensor` splits what is gathered as well.
            numbers *= one.part * fsdp
            add("all-gather", fsdp, numbers * trace.gathers)
        if one.trains and one.fsdp:
            add("reduce-scatter", fsdp, numbers)
            add_sum(data, numbers / fsdp)
        elif one.trains:
            add_sum(row_shards(axes), numbers)
    name = HLO_NAMES.get(trace.dtype, "f32")
    return [
        Collective(kind, (HloArray(name, (math.ceil(count),)),), 1, None, group, "")
        for (kind, group), count in sums.items()
    ]


def estimate_time(cost: Cost, collectives: Sequence[Collective], chips: Slice) -> StepTime:
    """Layers' weights come, and their gradients go, beside the computation; what all chips hold is summed after it."""
    products, memory = cost.flops / (PRODUCTS * chips.chip.flops), cost.bytes / chips.chip.hbm_rate
    behind = sum(collective_seconds(one, chips) for one in collectives if one.kind in ("all-reduce", "between-slices"))
    beside = sum(collective_seconds(one, chips) for one in collectives) - behind
    hidden = min(beside, max(products, memory))
    return StepTime(products, memory, behind + beside - hidden, hidden)
