"""Plans as text: a block of lines for each stage, and one line for all of them."""

from motiongpt3_jax.planning.results import Plan, StagePlan

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
    lines = [f"{stage.name}: {stage.rows} rows, {stage.steps:,} steps{same}", f"  memory a chip   {_memory(stage)}"]
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
            f"  a step          {1e3 * time.total:.2f} ms: products {1e3 * time.products:.2f}, memory "
            f"{1e3 * time.memory:.2f}, bare collectives {1e3 * time.collectives:.2f}; bound by {stage.bound}"
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


def _memory(stage: StagePlan) -> str:
    memory = stage.memory
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
