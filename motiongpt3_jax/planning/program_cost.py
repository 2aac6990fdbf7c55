"""Cost analysis of a compiled program with trip counts: FLOPs of its matrix products, bytes of HBM that it moves.

XLA's own cost analysis counts the body of a loop once. Here every instruction counts as often as a run executes it, and
only what lies in HBM counts as bytes: arrays in a chip's other memories (`S(1)` in a layout) do not.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from motiongpt3_jax.parallel.collectives import KINDS
from motiongpt3_jax.parallel.hlo import ARRAY, HloArray, Instruction, Program, arrays_of

FREE = frozenset(
    (
        *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "opt-barrier", "after-all"),
        *("while", "conditional", "call", "partition-id", "replica-id", "domain", "iota"),
    )
)
"""Instructions that move nothing themselves."""

PART_READERS = frozenset(("dynamic-slice", "slice", "gather"))
"""Instructions that read as much of their first operand as they return."""

LAYOUT = re.compile(ARRAY.pattern + r"(\{[^}]*\})?")
ELSEWHERE = re.compile(r"S\([1-9]\d*\)")
"""In a layout: another memory than HBM."""

TILE = re.compile(r":T\(([\d,]+)\)")
"""In a layout: the tile that the minor axes are padded to."""

ESTIMATE = re.compile(r"cost_estimate\W+(\{[^{}]*\})")
"""In what a custom kernel brings along: its own estimate."""


@dataclass(frozen=True)
class Cost:
    """What something takes on one chip.

    Attributes:
      flops: of matrix products and convolutions.
      bytes: read from and written to HBM.
    """

    flops: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: float) -> "Cost":
        return Cost(self.flops * times, self.bytes * times)


def stored_bytes(shape: str) -> int:
    """Bytes of HBM that a result's type takes, with the padding of its tiles."""
    total = 0
    for name, sizes, layout in LAYOUT.findall(shape):
        if not ELSEWHERE.search(layout):
            total += _padded(HloArray(name, tuple(int(size.lstrip("<=")) for size in sizes.split(",") if size)), layout)
    return total


def _padded(array: HloArray, layout: str) -> int:
    tile = TILE.search(layout)
    if tile is None or not array.shape:
        return array.bytes
    order = [int(axis) for axis in re.findall(r"\d+", layout.split(":")[0])]
    sizes, tiles = list(array.shape), [int(size) for size in tile[1].split(",")]
    for axis, size in zip(order, reversed(tiles)):
        sizes[axis] = -(-sizes[axis] // size) * size
    return HloArray(array.dtype, tuple(sizes)).bytes


class CostReader:
    """Costs of the instructions of a program.

    Attributes:
      program: the compiled program.
    """

    def __init__(self, program: Program):
        self.program = program
        self._flops = cache(self._computation_flops)

    def scheduled(self) -> Iterator[tuple[str, int, Instruction]]:
        """Instructions that run one by one, as `Program.instructions` gives them: not those inside of fusions."""
        inside = self._inside()
        for name, times, instruction in self.program.instructions():
            if name not in inside:
                yield name, times, instruction

    def schedules(self) -> Iterator[tuple[int, list[tuple[Instruction, Cost]]]]:
        """Of each computation whose instructions run one by one: how often it runs; they and their costs, in order."""
        inside = self._inside()
        for name, times in self.program.times().items():
            if name not in inside:
                yield times, [(one, self.cost(name, one)) for one in self.program.computations[name].values()]

    def total(self, times_of: bool = True) -> Cost:
        """Of a whole run; without `times_of` every instruction counts once, as in XLA's own analysis."""
        costs = (self.cost(name, one) * (times if times_of else 1) for name, times, one in self.scheduled())
        return sum(costs, Cost())

    def cost(self, computation: str, one: Instruction) -> Cost:
        """Of one instruction of a computation, run once."""
        if one.opcode in FREE or one.opcode.endswith("-done"):
            return Cost()
        if one.opcode == "custom-call":
            return self._kernel(computation, one)
        return Cost(self._instruction_flops(computation, one), self._bytes(computation, one))

    @property
    def kernels(self) -> int:
        """Custom kernels in the program, of a chip's own language."""
        return sum("tpu_custom_call" in one.rest for _, _, one in self.scheduled())

    def _inside(self) -> set[str]:
        """Computations that are parts of other instructions: of fusions, reductions, sorts."""
        found: set[str] = set()

        def add(name: str) -> None:
            if name in found or name not in self.program.computations:
                return
            found.add(name)
            for one in self.program.computations[name].values():
                for called in one.calls:
                    add(called)

        for computation in self.program.computations.values():
            for one in computation.values():
                if one.opcode not in ("while", "conditional", "call"):
                    for called in one.calls:
                        add(called)
        return found

    def _shape(self, computation: str, name: str) -> str:
        found = self.program.computations[computation].get(name)
        return "" if found is None else found.shape

    def _kernel(self, computation: str, one: Instruction) -> Cost:
        """Of a custom kernel: its own estimate of its FLOPs; its operands and results, or what it says, if more."""
        if "AllocateBuffer" in one.rest:
            return Cost()
        moved = stored_bytes(one.shape) + sum(stored_bytes(self._shape(computation, name)) for name in one.operands)
        said = ESTIMATE.search(one.rest.replace("\\", ""))
        numbers = dict(re.findall(r'"(\w+)":"?(\d+)', said[1])) if said else {}
        return Cost(float(numbers.get("flops", 0)), max(moved, float(numbers.get("bytes_accessed", 0))))

    # Products.

    def _computation_flops(self, name: str) -> float:
        return sum(self._instruction_flops(name, one) for one in self.program.computations.get(name, {}).values())

    def _instruction_flops(self, computation: str, one: Instruction) -> float:
        shapes = [arrays_of(self._shape(computation, name)) for name in one.operands[:2]]
        if one.opcode == "dot":
            axes = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", one.rest)[1]
            contracted = math.prod(shapes[0][0].shape[int(axis)] for axis in axes.split(",") if axis)
            return 2.0 * math.prod(arrays_of(one.shape)[0].shape) * contracted
        if one.opcode == "convolution":
            return convolution_flops(shapes[0][0].shape, shapes[1][0].shape, arrays_of(one.shape)[0].shape, one.rest)
        return sum(self._flops(called) for called in one.calls)

    # Bytes.

    def _bytes(self, computation: str, one: Instruction) -> float:
        operands = [self._shape(computation, name) for name in one.operands]
        if one.opcode in PART_READERS:
            return 2 * stored_bytes(one.shape) + sum(map(stored_bytes, operands[1:]))
        if one.opcode == "dynamic-update-slice":
            return 2 * stored_bytes(operands[1])
        if one.opcode == "scatter":
            return 3 * stored_bytes(operands[2]) + stored_bytes(operands[1])
        if one.opcode.endswith("-start"):
            return sum(map(stored_bytes, operands)) + stored_bytes(_result_of(one))
        if one.opcode != "fusion":
            return stored_bytes(one.shape) + sum(map(stored_bytes, operands))
        return self._written(one) + sum(self._read(one.calls[0], place, shape) for place, shape in enumerate(operands))

    def _read(self, computation: str, place: int, shape: str) -> float:
        """What a fusion reads of one operand: the parts that it takes, where it takes nothing but parts."""
        instructions = self.program.computations[computation]
        name = next((n for n, one in instructions.items() if one.opcode == "parameter" and _number(one) == place), None)
        whole = stored_bytes(shape)
        return whole if name is None else min(whole, self._parts(instructions, name, whole))

    def _parts(self, instructions: Mapping[str, Instruction], name: str, whole: float) -> float:
        total = 0.0
        for one in instructions.values():
            if name not in one.operands or _hands_on(one):
                continue
            first = one.operands[0] == name
            if one.opcode in PART_READERS and first:
                total += stored_bytes(one.shape)
            elif one.opcode == "dynamic-update-slice" and first:
                continue  # written in place
            elif self._renames(one):
                is_result = one is list(instructions.values())[-1]
                total += whole if is_result else self._parts(instructions, one.name, whole)
            elif one.opcode == "fusion":
                places = [i for i, operand in enumerate(one.operands) if operand == name]
                total += sum(self._read(one.calls[0], i, instructions[name].shape) for i in places)
            else:
                return whole
        return total

    def _renames(self, one: Instruction) -> bool:
        """Whether an instruction gives its operand another shape and nothing else, by itself or as a fusion."""
        if one.opcode != "fusion":
            return one.opcode == "bitcast"
        return all(
            inner.opcode in ("parameter", "bitcast") for inner in self.program.computations[one.calls[0]].values()
        )

    def _written(self, fusion: Instruction) -> float:
        """What a fusion writes: of arrays that it updates in place, the update alone."""
        instructions = self.program.computations[fusion.calls[0]]
        root = list(instructions.values())[-1]
        parts = [instructions[name] for name in root.operands] if root.opcode == "tuple" else [root]
        return sum(self._result(instructions, part) for part in parts if part.opcode != "parameter")

    def _result(self, instructions: Mapping[str, Instruction], one: Instruction) -> float:
        while one.opcode == "bitcast" and one.operands[0] in instructions:
            one = instructions[one.operands[0]]
        if _hands_on(one):
            return 0.0
        if one.opcode == "dynamic-update-slice":
            return stored_bytes(instructions[one.operands[1]].shape)
        if one.opcode == "fusion":
            return self._written(one)
        return stored_bytes(one.shape)


def _hands_on(one: Instruction) -> bool:
    """Whether an instruction of a fusion moves nothing: it names results, or is a step or the end of a collective that
    runs beside other work, whose bytes its start has.
    """
    step = one.opcode in KINDS and "async_collective_fusion_config" in one.rest
    return step or one.opcode == "tuple" or "AsyncCollectiveDone" in one.rest


def _number(parameter: Instruction) -> int:
    return int(parameter.operands[0])


def _result_of(start: Instruction) -> str:
    """The type of what an asynchronous instruction makes, of the tuple that it returns."""
    arrays = [match[0] for match in LAYOUT.finditer(start.shape)]
    return ", ".join(arrays[:1] if start.opcode == "copy-start" else arrays[len(arrays) // 2 :])


def convolution_flops(inputs: Sequence[int], kernel: Sequence[int], outputs: Sequence[int], attributes: str) -> float:
    """FLOPs of a convolution, where it meets its input: padding and the zeros of a dilated one do not count.

    Batched products are such convolutions on TPUs.
    """
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", attributes)
    of_input, of_kernel, of_output = labels[1], labels[2], labels[3]
    window = dict(re.findall(r"(\w+)=([\d\-x_]+)", (re.search(r"window=\{([^}]*)\}", attributes) or ["", ""])[1]))
    batches = int((re.search(r"batch_group_count=(\d+)", attributes) or ["", "1"])[1])
    met = 1.0
    for axis in range(sum(label.isdigit() for label in of_output)):
        label = str(axis)

        def option(name: str, default: str, axis: int = axis) -> str:
            return window[name].split("x")[axis] if name in window else default

        low = int(option("pad", "0_0").split("_")[0])
        met *= places_met(
            inputs[of_input.index(label)],
            kernel[of_kernel.index(label)],
            outputs[of_output.index(label)],
            int(option("stride", "1")),
            low,
            int(option("lhs_dilate", "1")),
            int(option("rhs_dilate", "1")),
        )
    features = kernel[of_kernel.index("i")] * kernel[of_kernel.index("o")]
    return 2.0 * features * met * inputs[of_input.index("b")] / batches


def places_met(inputs: int, kernel: int, outputs: int, stride: int, low: int, spread: int, dilation: int) -> int:
    """Pairs of an output and a place of the kernel that meet an input, along one axis."""
    first = np.arange(outputs) * stride - low
    total = 0
    for place in range(kernel):
        at = first + place * dilation
        total += int(np.sum((at >= 0) & (at <= (inputs - 1) * spread) & (at % spread == 0)))
    return total
