"""Plans a run: compiles the train step of every stage for a slice of chips, and prices what it takes."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
from jax.sharding import AbstractMesh, Mesh
from ml_collections import ConfigDict

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import check_config, stages_to_run
from motiongpt3_jax.experiment.config import RunConfig
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.parallel import make_mesh
from motiongpt3_jax.parallel.checks import BatchSize, check_divides
from motiongpt3_jax.parallel.collectives import Collective, bytes_by_kind, read_collectives
from motiongpt3_jax.parallel.hlo import Program as HloProgram
from motiongpt3_jax.parallel.mesh import AXES, check_slices, make_abstract_mesh
from motiongpt3_jax.parallel.sharding import row_shards
from motiongpt3_jax.parallel.topology import slice_devices
from motiongpt3_jax.planning.advice import advice
from motiongpt3_jax.planning.chips import Slice
from motiongpt3_jax.planning.estimate import Estimate, estimate_step, trace_step
from motiongpt3_jax.planning.filling import measure_filling
from motiongpt3_jax.planning.program_cost import Cost, CostReader
from motiongpt3_jax.planning.results import Filling, Memory, Plan, StagePlan, StepTime
from motiongpt3_jax.planning.stage_program import (
    Compiled,
    StageProgram,
    array_rows,
    compile_lowered,
    lower,
    make_stage_program,
    memory_of,
    model_spec,
    stage_rows,
)
from motiongpt3_jax.planning.step_time import step_time
from motiongpt3_jax.planning.traced_flops import step_flops
from motiongpt3_jax.systems.registry import find_system

ROWS_NOTE = (
    "model FLOPs are those of whole rows, their padding included, with nothing computed twice; loops that end with the "
    "data are counted to their longest"
)
NOTES: Mapping[str, tuple[str, ...]] = {
    "tpu": (),
    "cpu": (
        "simulated devices on the CPU: shapes, shardings and collectives are those of this backend's compiler, and "
        "nothing is said of time",
    ),
    "estimate": (
        "estimated from the traced step, which nothing compiles: parameters and optimizer state are exact; machine "
        "code, changes of layout, and what the axis tensor spares of activations and sums over it, are left out",
    ),
}
"""What plans of each platform leave out."""

Platform = Literal["tpu", "cpu", "estimate"]


def plan(
    config: str | ConfigDict,
    topology: str,
    *,
    name: str | None = None,
    mesh: Mapping[str, int] | None = None,
    stage: str | None = None,
    platform: Platform = "tpu",
    effort: Literal["fast", "full"] = "fast",
    prices: Mapping[str, float] | None = None,
    words: int | None = None,
) -> Plan:
    """What training a config takes on a slice of TPUs: memory, time, money, by compiling its steps without any.

    Args:
      config: such as "motiongpt3:base", or what `load_config` gives.
      topology: the slice, such as "v5e:16x16".
      name: of the config in the plan; its own where it is named.
      mesh: devices along the axes `data`, `fsdp`, `tensor`, instead of the config's; `data` takes what others leave.
      stage: the only stage to plan; else all that the config runs.
      platform: "tpu" compiles and needs libtpu; "cpu" compiles for as many simulated devices, and knows no time;
        "estimate" compiles nothing.
      effort: of the compiler: "full" takes several times as long.
      prices: US dollars of a chip and hour, by the generation, such as {"v5e": 1.2}.
      words: ids of the tokenizer that the config names, where it is not at hand.

    Raises:
      UserError: the config is wrong, does not divide over the slice, or there is no libtpu, or no such slice.
    """
    loaded = load_config(config) if isinstance(config, str) else config
    named = name or (config if isinstance(config, str) else "config")
    chips = Slice.of(topology)
    price = price_of(chips, prices or {})
    # Before anything else of JAX, which fixes how many devices there are.
    devices = devices_of(chips, platform)
    checked = with_mesh(check_config(plain(loaded.to_dict())), mesh or {})
    names = stages_of(checked, stage)
    grid = make_grid(checked, chips, devices)
    check_stages(checked, names, grid.shape)
    spec = model_spec(checked, words)
    programs = {each: make_stage_program(checked, each, spec, grid) for each in names}
    fillings = measure_filling(checked, spec, programs)
    stages: dict[str, StagePlan] = {}
    seen: dict[int, tuple[str, Compiled]] = {}
    for each, program in programs.items():
        start, first = time.monotonic(), None
        if platform == "estimate":
            rows = program.rows // row_shards(grid.shape)
            taken = estimated(estimate_step(trace_step(checked, each, spec, rows), grid, chips))
        else:
            lowered = lower(program, grid)
            first, compiled = seen.get(lowered.same, (None, None))
            if compiled is None:
                compiled = compile_lowered(lowered.lowered, platform == "tpu", effort == "full")
                seen[lowered.same] = each, compiled
            capacity = chips.chip.hbm if platform == "tpu" else None
            taken = measured(program, compiled, chips, capacity, lowered.kernel_flops)
        seconds = time.monotonic() - start
        result = stage_plan(program, taken, chips, fillings[each], price)
        change = advice(taken.memory, each, program.rows, checked, grid.shape)
        stages[each] = replace(result, same_as=first, compile_seconds=seconds, advice=change)
    return Plan(named, topology, platform, dict(grid.shape), stages, effort, (ROWS_NOTE, *NOTES[platform]))


@dataclass(frozen=True)
class Taken:
    """What one step takes on a chip, see `StagePlan`; without `cost` where it does not compile for lack of memory."""

    memory: Memory
    cost: Cost | None
    collectives: Sequence[Collective]
    time: StepTime | None
    kernels: int


def estimated(estimate: Estimate) -> Taken:
    """What an estimate says."""
    time = estimate.time if estimate.memory.fits else None
    return Taken(estimate.memory, estimate.cost, estimate.collectives, time, 0)


def measured(
    program: StageProgram, compiled: Compiled, chips: Slice, capacity: float | None, kernel_flops: float
) -> Taken:
    """What a compiled stage takes, whose kernels take so many FLOPs; without a capacity nothing is said of time."""
    memory = memory_of(program, compiled, capacity)
    if compiled.text is None:
        return Taken(memory, None, [], None, 0)
    reader, collectives = CostReader(HloProgram.of(compiled.text)), read_collectives(compiled.text)
    taken = step_time(reader, collectives, chips, kernel_flops) if capacity and memory.fits else None
    cost = reader.total()
    return Taken(memory, replace(cost, flops=cost.flops + kernel_flops), collectives, taken, reader.kernels)


def stage_plan(program: StageProgram, taken: Taken, chips: Slice, filling: Filling, price: float | None) -> StagePlan:
    """The plan of a stage whose steps take so much."""
    model = step_flops(program.plain, program.stage, program.variables, program.batch)
    useful = None if filling.flops_per_row is None else filling.flops_per_row * program.rows
    time, cost = taken.time, taken.cost
    peak = chips.chips * chips.chip.flops * time.total if time else None
    return StagePlan(
        name=program.stage.name,
        rows=program.rows,
        steps=program.stage.steps,
        memory=taken.memory,
        advice=None,
        model_flops=model,
        useful_flops=useful,
        flops_per_chip=cost and cost.flops,
        hbm_bytes_per_chip=cost and cost.bytes,
        collectives=bytes_by_kind(taken.collectives),
        time=time,
        mfu=peak and model / peak,
        mfu_without_padding=peak and useful and useful / peak,
        samples_per_second=time and program.rows * filling.samples_per_row / time.total,
        filling=filling,
        kernels=taken.kernels,
        same_as=None,
        compile_seconds=0.0,
        price=price,
        chips=chips.chips,
        arrays=tuple(array_rows(program)),
    )


def devices_of(chips: Slice, platform: Platform) -> Sequence[jax.Device] | None:
    """The devices that a platform compiles for; None where it compiles nothing."""
    chips.check_described()
    if platform == "estimate":
        return None
    return slice_devices(chips.name) if platform == "tpu" else simulated_devices(chips)


def make_grid(config: RunConfig, chips: Slice, devices: Sequence[jax.Device] | None) -> Mesh | AbstractMesh:
    """The mesh of a config over a slice, of its devices or of none."""
    axes = config.mesh
    data = None if axes.data < 0 else axes.data
    if devices is None:
        grid = make_abstract_mesh(chips.chips, data, axes.fsdp, axes.tensor)
    else:
        grid = make_mesh(data, axes.fsdp, axes.tensor, devices=devices)
    check_slices(tuple(grid.shape.values()), chips.slices)
    return grid


def price_of(chips: Slice, prices: Mapping[str, float]) -> float | None:
    """US dollars of a chip of a slice and hour; None where no price is given.

    Raises:
      UserError: there are prices, and none of these chips.
    """
    if prices and chips.generation not in prices:
        raise UserError(f"--price names {', '.join(prices)}, and --topology has {chips.generation} chips; name those")
    return prices.get(chips.generation)


def with_mesh(config: RunConfig, axes: Mapping[str, int]) -> RunConfig:
    """The config with other sizes of the mesh's axes.

    Raises:
      UserError: there is no such axis.
    """
    for name in axes:
        if name not in AXES:
            raise UserError(f"--mesh {name}={axes[name]}: there is no such axis; there are {', '.join(AXES)}")
    if axes and "data" not in axes:
        axes = {"data": -1, **axes}
    return replace(config, mesh=replace(config.mesh, **axes))


def stages_of(config: RunConfig, stage: str | None) -> list[str]:
    """The stages to plan.

    Raises:
      UserError: the config runs no such stage.
    """
    names = stages_to_run(config)
    if stage is not None and stage not in names:
        raise UserError(f"--stage {stage}: the config runs {', '.join(names)}")
    return names if stage is None else [stage]


def simulated_devices(chips: Slice) -> Sequence[jax.Device]:
    """As many devices of the CPU as a slice has chips.

    Raises:
      UserError: JAX is in use already, with fewer devices.
    """
    with suppress(RuntimeError):  # fixed once JAX has begun
        jax.config.update("jax_num_cpu_devices", chips.chips)
    devices = jax.devices("cpu")
    if len(devices) < chips.chips:
        raise UserError(
            f"{chips.name} has {chips.chips} chips, and JAX began with {len(devices)} devices of the CPU: call "
            f'jax.config.update("jax_num_cpu_devices", {chips.chips}) before anything else of JAX'
        )
    return devices[: chips.chips]


def check_stages(config: RunConfig, names: Sequence[str], axes: Mapping[str, int]) -> None:
    """Raises UserError when a stage's rows, or the heads, do not divide over axes of a mesh; says what would do."""
    sizes: dict[str, BatchSize] = {}
    for name in names:
        accumulate = config.stages[name].optimizer.accumulate
        sizes[name] = BatchSize(stage_rows(config, name, axes), accumulate)
    heads = find_system(config.system).heads(config.model)
    try:
        check_divides(axes, sizes, heads)
    except UserError as error:
        more = "" if config.mesh.rows == "per_shard" else "; --config.mesh.rows=per_shard gives each of them as many"
        raise UserError(f"{str(error).rstrip('.')}{more}") from None


def parse_pairs(option: str, text: str, read: Any) -> dict[str, Any]:
    """`NAME=VALUE,NAME=VALUE` of an option.

    Raises:
      UserError: it is none.
    """
    pairs = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        try:
            if not name or not equals or name in pairs:
                raise ValueError
            pairs[name] = read(value)
            if not pairs[name] > 0:
                raise ValueError
        except ValueError:
            raise UserError(f"{option} {text}: write NAME=NUMBER,NAME=NUMBER, each name once, above 0") from None
    return pairs
