"""Collectives of a compiled program: kind, bytes, trip count and group size of all that its devices send each other."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, get_args

from motiongpt3_jax.parallel.hlo import HloArray, Instruction, Program, arrays_of

Kind = Literal[
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
    "between-slices",
]

KINDS = get_args(Kind)

NETWORK = re.compile(r'_xla_megascale_target="\{([\d,]+)\}')
"""In a send to the host: the TPU slices that exchange what it sends, over the network."""


@dataclass(frozen=True)
class Collective:
    """One collective operation of a program.

    Attributes:
      kind: what it does; "between-slices": a chip and those in its place of other TPU slices sum what each holds.
      arrays: the whole arrays, as they are after an all-gather and before a reduce-scatter. Compilers put several into
        one operation.
      trips: how often a run of the program executes it, as a body of loops.
      channel: its number; None where it has none.
      group: how many devices take part with each other.
      op_name: the operation of the traced program that it was made for.
    """

    kind: Kind
    arrays: tuple[HloArray, ...]
    trips: int
    channel: int | None
    group: int
    op_name: str

    @property
    def bytes(self) -> int:
        """Size of its arrays, once."""
        return sum(array.bytes for array in self.arrays)

    @property
    def total_bytes(self) -> int:
        """Size of its arrays in all of its trips."""
        return self.bytes * self.trips


def read_collectives(text: str) -> list[Collective]:
    """Collectives of a compiled program.

    An asynchronous one stands in the text several times, with one channel; it counts once. A collective whose group is
    one device moves nothing and is left out.

    Args:
      text: of `jax.stages.Compiled.as_text()`.
    """
    program = Program.of(text)
    found: dict[object, Collective] = {}
    for computation, times, instruction in program.instructions():
        kind = instruction.opcode.removesuffix("-start")
        if kind == "send" and (slices := NETWORK.search(instruction.rest)):
            sent, group = arrays_of(instruction.shape)[0], slices[1].count(",") + 1
            found[computation, instruction.name] = Collective("between-slices", (sent,), times, None, group, "")
        if kind not in KINDS:
            continue
        if kind == "all-reduce" and computation.startswith("all-reduce-scatter"):
            kind = (
                "reduce-scatter"  # a TPU's is a fusion around an all-reduce, of whose result each device keeps a part
            )
        one = read_collective(kind, instruction, times, program.devices)
        key = (computation, instruction.name) if one.channel is None else (kind, one.channel)
        before = found.get(key)
        found[key] = one if before is None else replace(one, trips=max(one.trips, before.trips))
    return [one for one in found.values() if one.group > 1]


def read_collective(kind: Kind, instruction: Instruction, times: int, devices: int) -> Collective:
    """The collective of one instruction, which a run executes so often on so many devices."""
    arrays = arrays_of(instruction.shape)
    group = group_size(instruction.rest, devices)
    if instruction.opcode.endswith("-start") and kind != "all-reduce":
        # Operands and results; a permute's are followed by numbers of its own.
        arrays = arrays[1:2] if kind == "collective-permute" else arrays[len(arrays) // 2 :]
    if instruction.opcode == "reduce-scatter":
        axis = int(instruction.attribute(r"\bdimensions=\{(\d+)"))
        arrays = [HloArray(x.dtype, (*x.shape[:axis], x.shape[axis] * group, *x.shape[axis + 1 :])) for x in arrays]
    channel = instruction.attribute(r"\bchannel_id=(\d+)")
    op_name = instruction.attribute(r'\bop_name="([^"]*)"') or ""
    return Collective(kind, tuple(arrays), times, None if channel is None else int(channel), group, op_name)


def group_size(attributes: str, devices: int) -> int:
    """How many devices exchange with each other, in each notation that HLO has for groups.

    Args:
      attributes: of the instruction.
      devices: that run the program.
    """
    if pairs := re.search(r"source_target_pairs=\{(\{.*?\})\}", attributes):
        to = dict(map(int, pair) for pair in re.findall(r"\{(\d+),(\d+)\}", pairs[1]))
        first = device = next(iter(to))
        seen = {first}
        while (device := to.get(device, first)) not in seen:
            seen.add(device)
        return len(seen)
    if mesh := re.search(r"replica_groups=@?mesh\[([^\]]*)\][^{]*\{([^}]*)\}", attributes):
        sizes = {name: int(size) for name, size in re.findall(r"'([^']*)'=(\d+)", mesh[1])}
        names = re.findall(r"'([^']*)'(?::\(\d+\)(\d+))?", mesh[2])
        return prod(int(part) if part else sizes[name] for name, part in names)
    if iota := re.search(r"replica_groups=\[\d+,(\d+)\]<=", attributes):
        return int(iota[1])
    if listed := re.search(r"replica_groups=\{\{([\d,]+)\}", attributes):
        return listed[1].count(",") + 1
    return devices


def bytes_by_kind(collectives: Iterable[Collective]) -> dict[Kind, int]:
    """Bytes of the collectives of each kind, in all of their trips."""
    totals: dict[Kind, int] = {}
    for one in collectives:
        totals[one.kind] = totals.get(one.kind, 0) + one.total_bytes
    return totals


def largest(collectives: Sequence[Collective]) -> list[Collective]:
    """Collectives by falling size, all trips together."""
    return sorted(collectives, key=lambda one: -one.total_bytes)
