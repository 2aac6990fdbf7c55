"""Weak and strong scaling of a stage's train step over slices of chips, planned, and extrapolated to more of them.

Weak scaling keeps the rows of each data shard, strong scaling those of the whole batch. More chips than a pod links are
taken to be several slices, which sum their gradients over the data-centre network behind the step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Literal

from ml_collections import ConfigDict

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.experiment.config import RunConfig
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.planning.chips import Slice
from motiongpt3_jax.planning.make_plan import Platform, plan, stages_of, with_mesh
from motiongpt3_jax.planning.results import Plan, StagePlan

Kind = Literal["weak", "strong"]


@dataclass(frozen=True)
class Point:
    """A stage's step on some chips.

    Attributes:
      kind: whether the rows of each data shard are kept, or those of the batch.
      topology: the slice.
      chips: how many.
      rows: of the batch.
      step_seconds, samples_per_second, mfu: None where it does not fit.
      efficiency: samples a second and chip, as a share of those of the smallest slice.
      extrapolated: whether it is several slices of the largest that was planned.
    """

    kind: Kind
    topology: str
    chips: int
    rows: int
    step_seconds: float | None
    samples_per_second: float | None
    mfu: float | None
    efficiency: float | None
    extrapolated: bool


@dataclass(frozen=True)
class Scaling:
    """How a stage scales.

    Attributes:
      plan: that of the smallest slice.
      points: weak scaling by rising chips, then strong.
    """

    plan: Plan
    points: Sequence[Point]

    def to_json(self) -> dict[str, Any]:
        """Plain values: at the top those of the plan of the smallest slice."""
        return {**self.plan.to_json(), "scaling": [asdict(point) for point in self.points]}


def plan_scaling(
    config: str | ConfigDict,
    topologies: Sequence[str],
    *,
    name: str | None = None,
    stage: str | None = None,
    mesh: Mapping[str, int] | None = None,
    platform: Platform = "tpu",
    effort: Literal["fast", "full"] = "fast",
    prices: Mapping[str, float] | None = None,
    words: int | None = None,
) -> Scaling:
    """How a stage scales over slices of one generation.

    Args:
      config: such as "motiongpt3:base", or what `load_config` gives.
      topologies: slices, such as ["v5e:4x4", "v5e:8x8", "v5e:16x16", "v5e:32x32"].
      stage: the stage; may be left out where the config runs one alone.
      mesh: axes `fsdp` and `tensor`; `data` takes what they leave.
      name, platform, effort, prices, words: as of `plan`.

    Raises:
      UserError: as of `plan`; or slices of several generations are named, or it is open which stage is meant.
    """
    loaded = load_config(config) if isinstance(config, str) else config
    named = name or (config if isinstance(config, str) else "config")
    slices = sorted(map(Slice.of, topologies), key=lambda chips: chips.chips)
    if len({chips.generation for chips in slices}) > 1:
        raise UserError(f"--scaling {','.join(topologies)}: name slices of one generation")
    if mesh and "data" in mesh:
        raise UserError("--scaling: leave data out of --mesh; it takes the chips that the other axes leave")
    checked = with_mesh(check_config(plain(loaded.to_dict())), {**(mesh or {}), "data": -1})
    stage = _one_stage(checked, stage)
    planned = {chips: _part(chips, slices) for chips in slices}

    @cache
    def plan_rows(chips: Slice, rows: int) -> Plan:
        """The plan of a slice with so many rows of each data shard."""
        changed = ConfigDict(loaded.to_dict())
        changed.update_from_flattened_dict({"mesh.rows": "per_shard", f"stages.{stage}.batch.rows": rows})
        axes = {"data": -1, "fsdp": checked.mesh.fsdp, "tensor": checked.mesh.tensor}
        options = {"platform": platform, "effort": effort, "prices": prices, "words": words}
        return plan(changed, chips.name, name=named, mesh=axes, stage=stage, **options)

    smallest, rows = slices[0], checked.stages[stage].rows
    each = rows if checked.mesh.rows == "per_shard" else max(rows // _shards(smallest, checked), 1)
    points: list[Point] = []
    for kind in ("weak", "strong"):
        for chips in slices:
            share = each if kind == "weak" else each * _shards(smallest, checked) / _shards(chips, checked)
            if share == int(share):  # less than a row is no batch
                stage_plan = plan_rows(planned[chips], int(share)).stages[stage]
                points.append(_point(kind, chips, int(share) * _shards(chips, checked), stage_plan, planned[chips]))
    first = plan_rows(planned[smallest], each)
    return Scaling(first, [replace(one, efficiency=_efficiency(one, points[0])) for one in points])


def _one_stage(config: RunConfig, stage: str | None) -> str:
    names = stages_of(config, stage)
    if len(names) > 1:
        raise UserError(f"--scaling looks at one stage: add --stage with one of {', '.join(names)}")
    return names[0]


def _shards(chips: Slice, config: RunConfig) -> int:
    """Parts that the rows of a batch are split into."""
    return chips.chips // config.mesh.tensor


def _part(chips: Slice, slices: Sequence[Slice]) -> Slice:
    """The slice that is planned: itself, or of more chips than a pod has the largest slice that is none.

    Raises:
      UserError: there is none, or it does not divide the chips; or nobody wrote down the network between slices.
    """
    pod = chips.chip.pod
    if chips.chips // chips.slices <= pod:
        return chips
    whole = [one for one in slices if one.slices == 1 and one.chips <= pod and chips.chips % one.chips == 0]
    part = whole[-1] if whole and chips.slices == 1 else None
    if part is None or chips.chip.network is None:
        raise UserError(f"--scaling {chips.name}: a pod has {pod} chips; name a slice of it that divides these as well")
    return part


def _point(kind: Kind, chips: Slice, rows: int, stage: StagePlan, part: Slice) -> Point:
    """A stage on several times the slice that it was planned for."""
    copies = chips.chips // part.chips
    if stage.time is None:
        return Point(kind, chips.name, chips.chips, rows, None, None, None, None, copies > 1)
    seconds = stage.time.total + network_seconds(stage.collectives, part, copies)
    slower = stage.time.total / seconds
    samples = stage.samples_per_second * copies * slower
    return Point(kind, chips.name, chips.chips, rows, seconds, samples, stage.mfu * slower, None, copies > 1)


def network_seconds(collectives: Mapping[str, float], part: Slice, copies: int) -> float:
    """Time in which slices sum their gradients: each chip sends its share of what its slice has summed, and gets it."""
    if copies == 1:
        return 0.0
    summed = sum(collectives.get(kind, 0.0) for kind in ("all-reduce", "reduce-scatter"))
    return 2 * (copies - 1) / copies * summed / part.chips / part.chip.network


def _efficiency(point: Point, first: Point) -> float | None:
    if point.samples_per_second is None or first.samples_per_second is None:
        return None
    return point.samples_per_second / point.chips / (first.samples_per_second / first.chips)
