"""HLO text parser: computations of a compiled program, and how often one run executes each (trip counts of loops).

What is read is `jax.stages.Compiled.as_text()`: the scheduled program of one device, of any backend.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

BITS: Mapping[str, int] = {"pred": 8, "bf16": 16, "c64": 64, "c128": 128, "token": 0}
"""Bits of a number of the dtypes whose names do not hold them first, as `s32` and `f8e4m3fn` do."""

ARRAY = re.compile(r"\b(token|pred|bf16|[fsuc]\d+(?:e\d+m\d+\w*)?)\[([\d,<=]*)\]")
HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.+?) ([a-z][\w\-]*)\((.*)$")
CALLS = re.compile(r"\b(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)")
BRANCHES = re.compile(r"\b(?:branch_computations|called_computations)=\{([^}]*)\}")
KNOWN_TRIPS = re.compile(r"known_trip_count\W+n\W+(\d+)")


class HloArray(NamedTuple):
    """Dtype, as HLO names it, and shape of an array."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Its size."""
        bits = BITS[self.dtype] if self.dtype in BITS else int(re.search(r"\d+", self.dtype)[0])
        return prod(self.shape) * bits // 8

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


def arrays_of(shape: str) -> list[HloArray]:
    """The arrays of a result's type, those of a tuple in their order."""
    found = ARRAY.findall(shape)
    return [HloArray(name, tuple(int(size.lstrip("<=")) for size in sizes.split(",") if size)) for name, sizes in found]


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
      name: of its result.
      shape: type of its result, with layouts.
      opcode: what it does.
      operands: names of what it takes; of a constant, its value; of a parameter, its number.
      rest: its attributes.
    """

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    rest: str

    @property
    def calls(self) -> list[str]:
        """Names of the computations that it runs."""
        several = [name.strip(" %") for names in BRANCHES.findall(self.rest) for name in names.split(",")]
        return [*CALLS.findall(self.rest), *several]

    def attribute(self, pattern: str) -> str | None:
        """The first group of a pattern in the attributes."""
        found = re.search(pattern, self.rest)
        return found and found[1]


@dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
      entry: name of the computation that a run begins with.
      computations: instructions of each by their names, in the order in which they run; the last one is the result.
      devices: that run it together.
    """

    entry: str
    computations: Mapping[str, Mapping[str, Instruction]]
    devices: int

    @classmethod
    def of(cls, text: str) -> "Program":
        """The program of an HLO text."""
        entry, current = "", {}
        computations: dict[str, dict[str, Instruction]] = {}
        for line in text.splitlines():
            if head := HEAD.match(line):
                current = computations[head[2]] = {}
                entry = head[2] if head[1] else entry
            elif found := INSTRUCTION.match(line):
                name, shape, opcode, tail = found.groups()
                inside, rest = split_parenthesis(tail)
                operands = (
                    (inside,) if opcode in ("constant", "parameter") else tuple(re.findall(r"%([\w.\-]+)", inside))
                )
                current[name] = Instruction(name, shape, opcode, operands, rest)
        counts = re.findall(r"\b(?:num_partitions|replica_count)=(\d+)", text.split("\n", 1)[0])
        return cls(entry, computations, prod(map(int, counts)))

    def instructions(self) -> Iterator[tuple[str, int, Instruction]]:
        """(computation, how often a run executes it, instruction) of all computations that a run reaches."""
        for name, times in self.times().items():
            for instruction in self.computations[name].values():
                yield name, times, instruction

    def times(self) -> dict[str, int]:
        """How often a run executes each computation that it reaches."""
        times: dict[str, int] = defaultdict(int)

        def visit(name: str, count: int) -> None:
            times[name] += count
            for instruction in self.computations[name].values():
                trips = self.trips(name, instruction) if instruction.opcode == "while" else 1
                for called in instruction.calls:
                    if called in self.computations:
                        visit(called, count * trips)

        visit(self.entry, 1)
        return dict(times)

    def trips(self, computation: str, loop: Instruction) -> int:
        """How often a `while` of a computation runs its body: what its counter is compared with.

        A loop that may end earlier counts as long as it can be. Where its end depends on data, that is in how many
        pieces it writes its arrays; else it counts once.
        """
        if known := loop.attribute(KNOWN_TRIPS.pattern):
            return int(known)
        condition = self.computations[loop.attribute(r"\bcondition=%?([\w.\-]+)")]
        outside = self.computations[computation]
        initial = outside.get(loop.operands[0])

        def value(name: str) -> int | None:
            """A number that the condition reads, where it is a constant or begins as one."""
            source, inside = condition.get(name), condition
            if source is not None and source.opcode == "get-tuple-element" and initial is not None:
                index = int(source.attribute(r"\bindex=(\d+)"))
                source, inside = outside.get(initial.operands[index]) if initial.opcode == "tuple" else None, outside
            while source is not None and source.opcode in ("copy", "bitcast") and source.operands:
                source = inside.get(source.operands[0])
            if source is None or source.opcode != "constant" or not re.fullmatch(r"-?\d+", source.operands[0]):
                return None
            return int(source.operands[0])

        for test in condition.values():
            if test.opcode == "compare" and test.attribute(r"\bdirection=(\w+)") == "LT":
                first, last = map(value, test.operands)
                if last is not None:
                    return max(-(-(last - (first or 0)) // self.step(loop, condition.get(test.operands[0]))), 1)
        return max(self.pieces(loop.attribute(r"\bbody=%?([\w.\-]+)")), default=1)

    def step(self, loop: Instruction, counter: Instruction | None) -> int:
        """What the body of a loop adds to the counter that its condition reads; 1 where it cannot be seen.

        Rings of collectives that the compiler unrolls by two count by two.
        """
        body = self.computations[loop.attribute(r"\bbody=%?([\w.\-]+)")]
        result = next(reversed(body.values()), None)
        if counter is None or counter.opcode != "get-tuple-element" or result is None or result.opcode != "tuple":
            return 1
        raised = body.get(result.operands[int(counter.attribute(r"\bindex=(\d+)"))])
        while raised is not None and raised.opcode in ("copy", "bitcast") and raised.operands:
            raised = body.get(raised.operands[0])
        terms = [body.get(name) for name in raised.operands] if raised is not None and raised.opcode == "add" else []
        added = [int(term.operands[0]) for term in terms if term is not None and term.opcode == "constant"]
        return max(added[0], 1) if len(added) == 1 else 1

    def pieces(self, computation: str) -> Iterator[int]:
        """In how many pieces each array that a computation updates in place is written."""
        instructions = self.computations[computation]
        for instruction in instructions.values():
            if instruction.opcode == "dynamic-update-slice":
                piece = instructions.get(instruction.operands[1])
                if piece is not None:
                    sizes = [prod(arrays_of(each.shape)[0].shape) for each in (instruction, piece)]
                    yield -(-sizes[0] // max(sizes[1], 1))
            elif instruction.opcode == "fusion":
                for called in instruction.calls:
                    yield from self.pieces(called)


def split_parenthesis(text: str) -> tuple[str, str]:
    """What stands before the parenthesis that closes an open one, and what stands behind it."""
    depth = 1
    for place, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if not depth:
            return text[:place], text[place + 1 :]
    return text, ""
