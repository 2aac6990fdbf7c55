"""Plans as text: a block of lines for each stage, and one line for all of them."""

from collections.abc import Sequence

from motiongpt3_jax.planning.answer_plan import AnswerPlan
from motiongpt3_jax.planning.results import Memory, Plan, StagePlan, StepTime
from motiongpt3_jax.planning.scaling import Scaling
from motiongpt3_jax.planning.search import Search

UNITS = (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


def describe_plan(plan: Plan) -> str:
    """The whole plan."""
    axes = " ".join(f"{name}={size}" for name, size in plan.mesh.items())
    how = {"cpu": "simulated on the CPU", "estimate": "estimated"}
    what = how.get(plan.platform, f"compiled with {plan.effort} effort")
    lines = [f"{plan.config} on {plan.topology} ({axes}), {what}"]
    for stage in plan.stages.values():
        lines += ["", *describe_stage(stage)]
    if len(plan.stages) > 1 and all(stage.chip_hours is not None for stage in plan.stages.values()):
        lines += ["", "all stages: " + _bill(sum(s.hours for s in plan.stages.values()), list(plan.stages.values()))]
    lines += ["", *(f"note: {note}" for note in plan.notes)]
    source = plan.main.filling.source
    lines.append(f"note: samples in a row and what is no padding are measured on {source} clips")
    return "\n".join(lines)


def describe_stage(stage: StagePlan) -> list[str]:
    """The lines of one stage."""
    same = f", the program of {stage.same_as}" if stage.same_as else ""
    lines = [
        f"{stage.name}: {stage.rows} rows, {stage.steps:,} steps{same}",
        f"  memory a chip   {_memory(stage.memory)}",
    ]
    if stage.advice:
        lines.append(f"  to change       {stage.advice}")
    useful = "" if stage.useful_flops is None else f", {short(stage.useful_flops)} without padding"
    compiled = "" if stage.flops_per_chip is None else f"; compiled {short(stage.flops_per_chip)} a chip"
    lines.append(f"  FLOPs a step    {short(stage.model_flops)} of the rows{useful}{compiled}")
    if stage.hbm_bytes_per_chip is not None:
        lines.append(f"  HBM a chip      {short(stage.hbm_bytes_per_chip)}B moved")
        each = ", ".join(f"{kind} {short(size)}B" for kind, size in stage.collectives.items()) or "none"
        lines.append(f"  collectives     {each}")
    time = stage.time
    if time is not None:
        lines.append(
            f"  a step          {1e3 * time.total:.2f} ms: {_parts(time)}, bare collectives "
            f"{1e3 * time.collectives:.2f}; bound by {stage.bound}"
        )
        bare = "" if stage.mfu_without_padding is None else f", {stage.mfu_without_padding:.1%} without padding"
        lines.append(f"  MFU             {stage.mfu:.1%}{bare}; {stage.samples_per_second:,.0f} samples/s")
        lines.append(f"  all steps       {_bill(stage.hours, [stage])}")
    return lines


def describe_shardings(plan: Plan) -> str:
    """How each parameter lies, of every stage the first time that it is named."""
    lines, seen = [], set()
    for stage in plan.stages.values():
        for row in stage.arrays:
            if row["path"] not in seen:
                seen.add(row["path"])
                split = ", ".join(axis or "-" for axis in row["split"]) or "-"
                size = "x".join(map(str, row["shape"])) or "1"
                lines.append(
                    f"{row['path']:<64} {row['dtype']:<9} {size:<18} ({split}) {short(row['bytes_per_chip'])}B"
                )
    return "\n".join(lines)


def short(number: float) -> str:
    """A number with three digits and a decimal unit."""
    for unit, size in UNITS:
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g} "


def describe_answers(plan: AnswerPlan) -> str:
    """A plan of inference."""
    requests, values = plan.requests, plan.to_json()
    what = (
        f"{requests.frames} frames each"
        if requests.task == "generate"
        else (f"{requests.frames} frames, {requests.tokens} tokens")
    )
    generation = plan.topology.split(":")[0]
    lines = [f"{plan.config} on one {generation} chip: {requests.task}, {requests.count} requests at once, {what}"]
    for phase in plan.phases:
        lines.append(f"  {phase.name:<15} {_memory(phase.memory)}")
        if phase.time is not None:
            lines.append(
                f"  {'':<15} {1e3 * phase.time.total:.2f} ms: {_parts(phase.time)}; bound by {phase.time.bound}"
            )
    if plan.seconds is not None:
        money = "" if values["dollars_per_million"] is None else f"; {values['dollars_per_million']:,.2f} USD a million"
        lines.append(
            f"  a batch         {1e3 * plan.seconds:.2f} ms, {values['samples_per_second']:,.0f} requests/s; bound by "
            f"{plan.bound}; MFU {values['mfu']:.1%}{money}"
        )
    return "\n".join([*lines, "", *(f"note: {note}" for note in plan.notes)])


def describe_search(search: Search, flags: Sequence[str] = ()) -> str:
    """The best settings as a table, and the command of the best one, with the flags that the config came with."""
    best = search.candidates[0]
    lines = [f"{search.config}, stage {search.stage}: {search.fitting} of {search.tried} settings fit, as estimated"]
    priced = best.price is not None
    lines += [_row("slice", "data", "fsdp", "tensor", "remat", "rows", "memory", "samples/s", "a dollar" * priced, "")]
    for one in search.candidates:
        axes, compiled = one.setting.mesh, one.compiled
        peak = one.peak_bytes_per_chip if compiled is None else compiled.memory.peak
        value = "" if one.samples_per_dollar is None else f"{one.samples_per_dollar:,.0f}"
        says = "estimated"
        if compiled is not None:
            says = f"bound by {compiled.bound}" if compiled.memory.fits else "DOES NOT FIT"
        memory = "?" if peak is None else f"{short(peak)}B"
        rate = f"{one.rate:,.0f}"
        sizes = (axes["data"], axes["fsdp"], axes["tensor"], one.setting.remat, one.setting.rows)
        lines.append(_row(one.setting.topology, *sizes, memory, rate, value, says))
    chosen = {argument.partition("=")[0] for argument in best.arguments}
    others = [flag for flag in flags if flag.partition("=")[0] not in chosen]
    command = ["motiongpt3 train --config", search.config, *others, *best.arguments]
    return "\n".join([*lines, "", f"best: {' '.join(command)}"])


def _row(*cells: object) -> str:
    widths = (11, 5, 5, 7, 13, 5, 9, 11, 11, 0)
    return "  ".join(f"{cell!s:<{width}}" for cell, width in zip(cells, widths)).rstrip()


def describe_scaling(scaling: Scaling) -> str:
    """Weak and strong scaling as tables."""
    first = scaling.plan
    lines = [f"{first.config}, stage {first.main.name}: rows of a batch, time of a step, and what a chip is worth"]
    for kind in ("weak", "strong"):
        lines += [
            "",
            f"{kind} scaling",
            "  slice        chips     rows     ms a step    samples/s    MFU    efficiency",
        ]
        for one in (point for point in scaling.points if point.kind == kind):
            start = f"  {one.topology:<11} {one.chips:>6} {one.rows:>8}"
            if one.step_seconds is None:
                lines.append(f"{start}     does not fit")
                continue
            more = "  extrapolated" if one.extrapolated else ""
            lines.append(
                f"{start} {1e3 * one.step_seconds:>13.2f} {one.samples_per_second:>12,.0f} {one.mfu:>6.1%} "
                f"{one.efficiency:>12.1%}{more}"
            )
    note = "extrapolated: several slices of the largest above, which sum their gradients over the data-centre network"
    if any(one.extrapolated for one in scaling.points):
        lines += ["", f"note: {note}"]
    return "\n".join([*lines, *(f"note: {one}" for one in first.notes)])


def _parts(time: StepTime) -> str:
    return f"products {1e3 * time.products:.2f}, memory {1e3 * time.memory:.2f}"


def _memory(memory: Memory) -> str:
    parts = f"arguments {short(memory.arguments)}B, temporaries {short(memory.temporaries)}B"
    if memory.capacity is None:
        return f"{short(memory.peak)}B of the CPU's program ({parts})"
    peak = "more than there is" if memory.peak is None else f"{short(memory.peak)}B"
    says = "fits" if memory.fits else "DOES NOT FIT"
    return f"{peak} of {short(memory.capacity)}B: {says} ({parts})"


def _bill(hours: float, stages: list[StagePlan]) -> str:
    chip_hours = sum(stage.chip_hours for stage in stages)
    money = "" if stages[0].price is None else f", {chip_hours * stages[0].price:,.2f} USD"
    return f"{hours:,.2f} hours, {chip_hours:,.2f} chip-hours{money}"
