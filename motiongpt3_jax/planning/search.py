"""Searches the mesh, remat policy and rows a chip that train most samples a second, or a dollar, on slices of chips.

Every combination is estimated from a few traces, see `estimate`; only the best by that are compiled.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ml_collections import ConfigDict

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.experiment.config import RunConfig
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.models.remat import POLICIES
from motiongpt3_jax.parallel.mesh import make_abstract_mesh
from motiongpt3_jax.parallel.sharding import row_shards
from motiongpt3_jax.planning.chips import Slice
from motiongpt3_jax.planning.estimate import Estimate, StepTrace, estimate_step, estimate_time, trace_step
from motiongpt3_jax.planning.filling import measure_filling
from motiongpt3_jax.planning.make_plan import Platform, plan, price_of, stages_of
from motiongpt3_jax.planning.program_cost import Cost
from motiongpt3_jax.planning.results import StagePlan
from motiongpt3_jax.planning.stage_program import make_stage_program, model_spec
from motiongpt3_jax.systems.registry import find_system

TRACED = (4, 8)
"""Rows a chip that steps are traced for; what others take lies on the line through these."""

ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Rows a chip that are tried."""


ROOM = 0.8
"""Share of a chip's memory that an estimate may fill: it may be too low, as it leaves something out."""


@dataclass(frozen=True)
class Setting:
    """What a search varies.

    Attributes:
      topology: the slice.
      mesh: devices along each axis.
      remat: policy of all parts of the model that have one.
      rows: of each data shard.
    """

    topology: str
    mesh: Mapping[str, int]
    remat: str
    rows: int


@dataclass(frozen=True)
class Candidate:
    """A setting, and what it takes.

    Attributes:
      setting: what it is.
      arguments: of `motiongpt3 train` that set it.
      peak_bytes_per_chip, samples_per_second: as estimated.
      compiled: its plan; None where nothing was compiled.
      price: US dollars of an hour of the slice; None where none is given.
    """

    setting: Setting
    arguments: tuple[str, ...]
    peak_bytes_per_chip: float
    samples_per_second: float
    compiled: StagePlan | None
    price: float | None

    @property
    def rate(self) -> float:
        """Samples a second by the best that is known; 0 where it does not fit."""
        return self.samples_per_second if self.compiled is None else self.compiled.samples_per_second or 0.0

    @property
    def samples_per_dollar(self) -> float | None:
        """Samples that a US dollar trains."""
        return None if self.price is None else 3600 * self.rate / self.price

    @property
    def worth(self) -> float:
        """What candidates are ranked by."""
        return self.rate if self.samples_per_dollar is None else self.samples_per_dollar

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **asdict(self.setting),
            "arguments": list(self.arguments),
            "estimated": {
                "peak_bytes_per_chip": self.peak_bytes_per_chip,
                "samples_per_second": self.samples_per_second,
            },
            "compiled": self.compiled and self.compiled.to_json(),
            "samples_per_second": self.rate,
            "samples_per_dollar": self.samples_per_dollar,
        }


@dataclass(frozen=True)
class Search:
    """The outcome of a search.

    Attributes:
      config, stage: whose steps.
      candidates: the best first.
      tried: how many settings were estimated.
      fitting: how many of these fit, with some room.
    """

    config: str
    stage: str
    candidates: Sequence[Candidate]
    tried: int
    fitting: int

    def to_json(self) -> dict[str, Any]:
        """Plain values: those of the best at the top."""
        best = self.candidates[0]
        return {
            **(best.compiled.to_json() if best.compiled else {}),
            "config": self.config,
            "stage": self.stage,
            "arguments": list(best.arguments),
            "tried": self.tried,
            "fitting": self.fitting,
            "candidates": [one.to_json() for one in self.candidates],
        }


def search_settings(
    config: str | ConfigDict,
    topologies: Sequence[str],
    *,
    keep: int = 4,
    name: str | None = None,
    stage: str | None = None,
    platform: Platform = "tpu",
    effort: Literal["fast", "full"] = "fast",
    prices: Mapping[str, float] | None = None,
    words: int | None = None,
) -> Search:
    """The settings that train a stage quickest, or cheapest where prices are given.

    Args:
      config: such as "motiongpt3:base", or what `load_config` gives.
      topologies: slices, such as ["v5e:4x4"].
      keep: how many settings are kept and, unless the platform is "estimate", compiled.
      name, platform, effort, prices, words: as of `plan`.
      stage: the stage; may be left out where the config runs one alone.

    Raises:
      UserError: the config is wrong, it is open which stage is meant, nothing fits, or there is no libtpu.
    """
    loaded = load_config(config) if isinstance(config, str) else config
    named = name or (config if isinstance(config, str) else "config")
    slices = [Slice.of(each) for each in topologies]
    hourly = {chips.name: price_of(chips, prices or {}) for chips in slices}
    checked = check_config(plain(loaded.to_dict()))
    stage = _one_stage(checked, stage)
    samples = _samples_per_row(checked, stage, words)
    traces = {remat: [_trace(loaded, stage, remat, rows, words) for rows in TRACED] for remat in policies(loaded)}
    candidates: list[Candidate] = []
    tried = 0
    for setting, estimate in estimates(slices, find_system(checked.system).heads(checked.model), traces):
        tried += 1
        if has_room(estimate) and setting.rows % checked.stages[stage].optimizer.accumulate == 0:
            rate = setting.rows * row_shards(setting.mesh) * samples / estimate.time.total
            hour = hourly[setting.topology]
            price = None if hour is None else hour * Slice.of(setting.topology).chips
            arguments = arguments_of(setting, stage, loaded)
            candidates.append(Candidate(setting, arguments, estimate.memory.peak, rate, None, price))
    if not candidates:
        raise UserError(f"--search: nothing that was tried for stage '{stage}' fits; take a larger slice")
    best = best_of_each(candidates)[:keep]
    if platform != "estimate":
        options = {"name": named, "stage": stage, "platform": platform, "effort": effort, "words": words}
        best = [_compiled(one, loaded, options) for one in best]
    return Search(named, stage, sorted(best, key=lambda one: -one.worth), tried, len(candidates))


def has_room(estimate: Estimate) -> bool:
    """Whether a step fits, by all that is known of estimates."""
    return estimate.memory.peak <= ROOM * estimate.memory.capacity


def estimates(
    slices: Sequence[Slice], heads: int, traces: Mapping[str, Sequence[StepTrace]]
) -> Iterator[tuple[Setting, Estimate]]:
    """Every setting, estimated; those with tensor parallelism only where none without it fits."""
    for chips in slices:
        fitting = False
        for axes in meshes(chips, heads):
            if axes["tensor"] > 1 and fitting:
                break
            grid = make_abstract_mesh(chips.chips, **axes)
            for remat, traced in traces.items():
                ends = [estimate_step(one, grid, chips) for one in traced]
                for rows in ROWS:
                    estimate = between(ends, rows, chips)
                    fitting |= has_room(estimate)
                    yield Setting(chips.name, axes, remat, rows), estimate


def _samples_per_row(config: RunConfig, stage: str, words: int | None) -> float:
    spec = model_spec(config, words)
    program = make_stage_program(config, stage, spec, make_abstract_mesh(1, 1))
    return measure_filling(config, spec, {stage: program})[stage].samples_per_row


def _trace(config: ConfigDict, stage: str, remat: str, rows: int, words: int | None) -> StepTrace:
    checked = check_config(plain(varied(config, stage, remat, rows).to_dict()))
    return trace_step(checked, stage, model_spec(checked, words), rows)


def _compiled(one: Candidate, config: ConfigDict, options: Mapping[str, Any]) -> Candidate:
    changed = varied(config, options["stage"], one.setting.remat, one.setting.rows)
    planned = plan(changed, one.setting.topology, mesh=one.setting.mesh, **options)
    return replace(one, compiled=planned.stages[options["stage"]])


def _one_stage(config: RunConfig, stage: str | None) -> str:
    names = stages_of(config, stage)
    if len(names) > 1:
        raise UserError(f"--search looks for the settings of one stage: add --stage with one of {', '.join(names)}")
    return names[0]


def remat_paths(model: Mapping[str, Any], path: str = "model") -> Iterator[str]:
    """Paths of the policies of recomputation in a model's config."""
    for name, value in model.items():
        if name == "remat":
            yield f"{path}.remat"
        elif isinstance(value, Mapping):
            yield from remat_paths(value, f"{path}.{name}")


def policies(config: ConfigDict) -> Sequence[str]:
    """Policies of recomputation that make a difference to a config."""
    return tuple(POLICIES) if any(remat_paths(config.to_dict()["model"])) else ("none",)


def meshes(chips: Slice, heads: int) -> Iterator[dict[str, int]]:
    """Meshes worth trying: powers of two along `fsdp`, then along `tensor`, where they divide chips and heads."""
    tensor = 1
    while tensor <= heads:
        if heads % tensor == 0 and chips.chips % tensor == 0:
            fsdp = 1
            while fsdp * tensor <= chips.chips:
                if chips.chips % (fsdp * tensor) == 0:
                    yield {"data": chips.chips // (fsdp * tensor), "fsdp": fsdp, "tensor": tensor}
                fsdp *= 2
        tensor *= 2


def varied(config: ConfigDict, stage: str, remat: str, rows: int) -> ConfigDict:
    """A config with another policy and other rows of each data shard."""
    changed = ConfigDict(config.to_dict())
    values = {path: remat for path in remat_paths(config.to_dict()["model"])}
    values |= {"mesh.rows": "per_shard", f"stages.{stage}.batch.rows": rows}
    changed.update_from_flattened_dict(values)
    return changed


def arguments_of(setting: Setting, stage: str, config: ConfigDict) -> tuple[str, ...]:
    """Arguments of `motiongpt3 train` that set what differs."""
    values = {f"mesh.{axis}": size for axis, size in setting.mesh.items()}
    values |= {path: setting.remat for path in remat_paths(config.to_dict()["model"])}
    values |= {"mesh.rows": "per_shard", f"stages.{stage}.batch.rows": setting.rows}
    return tuple(f"--config.{path}={value}" for path, value in values.items())


def between(lines: Sequence[Estimate], rows: int, chips: Slice) -> Estimate:
    """An estimate for other rows, on the line through two."""
    low, high = lines
    way = (rows - TRACED[0]) / (TRACED[1] - TRACED[0])

    def at(first: float, second: float) -> float:
        return max(first + way * (second - first), 0.0)

    memory = replace(
        low.memory,
        **{
            name: at(getattr(low.memory, name), getattr(high.memory, name))
            for name in ("peak", "arguments", "temporaries")
        },
    )
    cost = Cost(at(low.cost.flops, high.cost.flops), at(low.cost.bytes, high.cost.bytes))
    return Estimate(memory, cost, low.collectives, estimate_time(cost, low.collectives, chips))


def best_of_each(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Of each slice, mesh and policy the best rows; the best first."""
    best: dict[tuple[Any, ...], Candidate] = {}
    for one in candidates:
        key = one.setting.topology, tuple(one.setting.mesh.values()), one.setting.remat
        if key not in best or one.worth > best[key].worth:
            best[key] = one
    return sorted(best.values(), key=lambda one: -one.worth)
