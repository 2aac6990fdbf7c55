"""Roofline time of a compiled step: matrix products, HBM traffic, and the collectives that no computation hides."""

from collections.abc import Mapping, Sequence

from motiongpt3_jax.parallel.collectives import KINDS, Collective
from motiongpt3_jax.parallel.hlo import Instruction, Program
from motiongpt3_jax.planning.chips import PRODUCTS, Chip, Slice
from motiongpt3_jax.planning.program_cost import Cost, CostReader
from motiongpt3_jax.planning.results import StepTime

ROUNDS: Mapping[str, float] = {"all-reduce": 2.0, "between-slices": 2.0}
"""How often the arrays of a kind of collective go around a ring; others go once."""


def collective_seconds(one: Collective, chips: Slice) -> float:
    """Time of one trip of a collective, with full links and nothing else on them."""
    if one.kind == "collective-permute":
        return one.bytes / chips.chip.link
    rounds = ROUNDS.get(one.kind, 1.0) * (one.group - 1) / one.group
    rate = chips.chip.network if one.kind == "between-slices" else chips.ring_rate(one.group)
    return rounds * one.bytes / rate


def compute_seconds(cost: Cost, chip: Chip) -> float:
    """Time of instructions that run one after the other."""
    return max(cost.flops / (PRODUCTS * chip.flops), cost.bytes / chip.hbm_rate)


def step_time(reader: CostReader, collectives: list[Collective], chips: Slice, kernel_flops: float = 0.0) -> StepTime:
    """Time of a run of a program.

    Args:
      reader: of the program's costs.
      collectives: of the same program, as `read_collectives` gives them.
      chips: that run it.
      kernel_flops: of its kernels on a chip, which the program does not say.
    """
    total, chip = reader.total(), chips.chip
    seconds = {one.channel: collective_seconds(one, chips) for one in collectives if one.channel is not None}
    every = sum(collective_seconds(one, chips) * one.trips for one in collectives)
    bare = sum(collective_seconds(one, chips) * one.trips for one in collectives if one.channel is None)
    for times, schedule in reader.schedules():
        bare += times * exposed_seconds(reader.program, schedule, seconds, chip)
    bare = min(bare, every)
    products = (total.flops + kernel_flops) / (PRODUCTS * chip.flops)
    return StepTime(products, total.bytes / chip.hbm_rate, bare, every - bare)


def exposed_seconds(
    program: Program, schedule: Sequence[tuple[Instruction, Cost]], seconds: Mapping[int, float], chip: Chip
) -> float:
    """How long collectives keep a chip waiting in one run of a computation.

    A collective may run from the first instruction that names its channel to the last, or to the one that awaits it.
    Links serve one collective after the other, while the instructions in between compute.

    Args:
      program: the whole program.
      schedule: the computation's instructions in their order, each with its cost.
      seconds: of each collective, by its channel.
      chip: what computes.
    """
    first, last = _spans(program, schedule, seconds)
    under_way: dict[int, float] = {}
    exposed = 0.0
    for place, (one, cost) in enumerate(schedule):
        for channel in first.get(place, ()):
            under_way[channel] = seconds[channel]
        # What a collective itself moves is no computation beside it.
        time = 0.0 if one.opcode.removesuffix("-start") in KINDS else compute_seconds(cost, chip)
        for channel in [name for name in under_way if last[name] > place or name not in first.get(place, ())]:
            served = min(time, under_way[channel])
            under_way[channel] -= served
            time -= served
        for channel in [name for name in under_way if last[name] <= place]:
            exposed += under_way.pop(channel)
    return exposed + sum(under_way.values())


def _spans(
    program: Program, schedule: Sequence[tuple[Instruction, Cost]], seconds: Mapping[int, float]
) -> tuple[dict[int, list[int]], dict[int, int]]:
    """(channels by the place where they begin, the place where each ends)."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    started: dict[str, set[int]] = {}
    for place, (one, _) in enumerate(schedule):
        channels = _channels(program, one) & seconds.keys()
        if one.opcode.endswith("-start"):
            started[one.name] = channels
        if one.opcode.endswith("-done"):
            channels = channels | started.get(one.operands[0], set())
        for channel in channels:
            first.setdefault(channel, place)
            last[channel] = place
    begins: dict[int, list[int]] = {}
    for channel, place in first.items():
        begins.setdefault(place, []).append(channel)
    return begins, last


def _channels(program: Program, one: Instruction) -> set[int]:
    """Channels of the collectives that an instruction is, or that lie in what it is made of."""
    found = set()
    if one.opcode.removesuffix("-start") in KINDS and (channel := one.attribute(r"\bchannel_id=(\d+)")):
        found.add(int(channel))
    if one.opcode not in ("while", "conditional", "call"):
        for called in one.calls:
            for inner in program.computations.get(called, {}).values():
                found |= _channels(program, inner)
    return found
