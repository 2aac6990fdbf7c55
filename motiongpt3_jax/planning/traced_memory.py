"""Peak memory and HBM traffic by tracing: liveness analysis of a jaxpr, with elementwise operations fused as by XLA.

Nothing is compiled. Products, reductions, loops, gathers and scatters write their results to HBM; an elementwise
operation is part of whatever reads it, or of the product before it, unless it is dear (an exponential) and read twice.
A reduction is part of the elementwise operation whose result it reads, and reductions of the same arrays are one.
An array lies there from the operation that writes it to the last that reads it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jax.extend import core

from motiongpt3_jax.planning.traced_flops import loop_trips

WRITERS = frozenset(
    (
        *("dot_general", "ragged_dot_general", "conv_general_dilated", "concatenate", "gather", "scatter"),
        *("scatter-add", "scatter_add", "scatter_mul", "scatter_min", "scatter_max", "dynamic_update_slice"),
        *("reduce_sum", "reduce_max", "reduce_min", "reduce_and", "reduce_or", "reduce_prod", "argmax", "argmin"),
        *("cumsum", "cummax", "cummin", "cumprod", "cumlogsumexp", "sort", "top_k", "rng_bit_generator"),
        *("scan", "while", "cond", "pallas_call", "custom_partitioning", "reduce_precision"),
    )
)
"""Operations whose results lie in HBM."""

PRODUCTS = frozenset(("dot_general", "conv_general_dilated"))
"""Those into which the elementwise operations behind them are fused."""

DEAR = frozenset(("exp", "exp2", "log", "log1p", "expm1", "tanh", "logistic", "erf", "erf_inv", "sin", "cos", "pow"))
"""Elementwise operations that are not computed twice."""

PARTS = frozenset(("slice", "dynamic_slice", "gather"))
"""Operations that read as much of their first operand as they return."""

REDUCTIONS = frozenset(("reduce_sum", "reduce_max", "reduce_min", "reduce_and", "reduce_or", "reduce_prod"))
"""Operations that read beside what makes their operand, or beside each other (multi-output fusion)."""

IN_PLACE = frozenset(("dynamic_update_slice", "scatter", "scatter-add", "scatter_add"))
"""Operations that write into their first operand."""

LANES, SUBLANES = 128, 8
"""The tile of a TPU's arrays: what the minor axis, and the one before it, are padded to."""

Size = Callable[[Sequence[int], Any], float]
"""(shape, dtype) -> bytes on one chip."""


class Traced(NamedTuple):
    """What a traced function takes.

    Attributes:
      peak: bytes of the most that lies in HBM at once beside the arguments.
      moved: bytes that are read and written.
    """

    peak: float
    moved: float


def tiled_bytes(shape: Sequence[int], dtype: Any) -> float:
    """Bytes of an array on a TPU, with the padding of its tiles: the two axes that need least of it are the minor ones.

    Numbers of fewer bits have as many more in a sublane, and short axes have short tiles.
    """
    width = dtype.itemsize if hasattr(dtype, "itemsize") else 4
    sizes = sorted(size for size in shape if size != 1)
    if not sizes or not sizes[0]:
        return float(width * math.prod(shape))
    rows = SUBLANES * max(4 // width, 1)
    if len(sizes) == 1:
        return float(width * _up(sizes[0], LANES))
    count = math.prod(sizes)
    padded = min(
        count // a // b * _up(a, min(rows, 2 ** (a - 1).bit_length())) * _up(b, LANES)
        for i, a in enumerate(sizes)
        for j, b in enumerate(sizes)
        if i != j
    )
    return float(width * padded)


def _up(size: int, step: int) -> int:
    return -(-size // step) * step


def jaxpr_memory(jaxpr: core.Jaxpr, size: Size = tiled_bytes, consumes: bool = True) -> Traced:
    """Peak memory beside the arguments, and traffic, of a jaxpr.

    Args:
      jaxpr: of the function, without what no result needs.
      size: how many bytes an array takes.
      consumes: whether results that are as large as an argument take its place, as where a step consumes its state.
    """
    return _Body(jaxpr, size).traced(consumes)


@dataclass
class _Array:
    """A value of a jaxpr.

    Attributes:
      bytes: its size.
      count: numbers in it.
      writer: number of the operation that makes it; -1 for arguments.
      readers: numbers of the operations that read it.
      stored: whether it lies in HBM.
      reads: what must be read of HBM to have it: bytes by the numbers of stored arrays.
    """

    bytes: float
    count: int
    writer: int
    readers: list[int] = field(default_factory=list)
    stored: bool = False
    reads: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Operation:
    name: str
    parameters: Mapping[str, Any]
    inputs: list[int]
    outputs: list[int]


class _Body:
    """The operations of a jaxpr, those of jitted and rematerialized parts among them."""

    def __init__(self, jaxpr: core.Jaxpr, size: Size):
        self.size = size
        self.arrays: list[_Array] = []
        self.operations: list[_Operation] = []
        names: dict[Any, int] = {}
        for var in (*jaxpr.constvars, *jaxpr.invars):
            names[var] = self._new(var.aval, -1)
        self.arguments = len(self.arrays)
        self._add(jaxpr, names)
        self.results = [names[var] for var in jaxpr.outvars if var in names and not isinstance(var, core.Literal)]
        self._decide()

    def _new(self, aval: Any, writer: int) -> int:
        shape, dtype = getattr(aval, "shape", ()), getattr(aval, "dtype", None)
        self.arrays.append(_Array(self.size(shape, dtype), math.prod(shape), writer))
        return len(self.arrays) - 1

    def _add(self, jaxpr: core.Jaxpr, names: dict[Any, int]) -> None:
        for equation in jaxpr.eqns:
            inputs = [names[var] for var in equation.invars if not isinstance(var, core.Literal)]
            inner = _inlined(equation)
            if inner is not None:
                inside = {var: self._new(var.aval, -1) for var in inner.constvars}
                inside |= {
                    var: names[given] if not isinstance(given, core.Literal) else self._new(var.aval, -1)
                    for var, given in zip(inner.invars, equation.invars[len(equation.invars) - len(inner.invars) :])
                }
                self._add(inner, inside)
                for var, result in zip(equation.outvars, inner.outvars):
                    names[var] = self._new(var.aval, -1) if isinstance(result, core.Literal) else inside[result]
                continue
            number = len(self.operations)
            outputs = []
            for var in equation.outvars:
                names[var] = self._new(var.aval, number)
                outputs.append(names[var])
            for each in set(inputs):
                self.arrays[each].readers.append(number)
            self.operations.append(_Operation(equation.primitive.name, equation.params, inputs, outputs))

    # Which arrays lie in HBM.

    def _decide(self) -> None:
        for array in self.arrays:
            array.stored = array.writer < 0
        for operation in self.operations:
            for each in operation.outputs:
                array = self.arrays[each]
                if operation.name in WRITERS:
                    array.stored = True
                elif operation.name in DEAR:
                    array.stored = len(array.readers) > 1
        for each in self.results:
            self.arrays[each].stored = True
        for operation in self.operations:
            if operation.name in PRODUCTS:
                self._fuse_behind(operation.outputs[0])

    def _fuse_behind(self, product: int) -> None:
        """A product's elementwise followers, as long as there is one each, write their result in its stead."""
        last = product
        while len(self.arrays[last].readers) == 1 and last not in self.results:
            operation = self.operations[self.arrays[last].readers[0]]
            if operation.name in WRITERS or len(operation.outputs) != 1:
                break
            behind = self.arrays[operation.outputs[0]]
            if behind.count > self.arrays[last].count:
                break
            last = operation.outputs[0]
            if behind.stored:
                break
        if last != product:
            self.arrays[product].stored = False
            self.arrays[last].stored = True

    # What that takes.

    def traced(self, consumes: bool = False) -> Traced:
        """Peak and traffic of one run."""
        ends, moved = self._lifetimes()
        given = self._given() if consumes else set()
        for each in self.results:
            ends[each] = len(self.operations)
        starts: dict[int, list[int]] = {}
        stops: dict[int, list[int]] = {}
        for number, array in enumerate(self.arrays):
            if array.stored and array.writer >= 0 and number not in given:
                starts.setdefault(array.writer, []).append(number)
                stops.setdefault(ends.get(number, array.writer), []).append(number)
        live = peak = 0.0
        for place, operation in enumerate(self.operations):
            inner = _inner(operation, self.size)
            moved += inner.moved
            live += sum(self.arrays[each].bytes for each in starts.get(place, ()))
            peak = max(peak, live - self._overwritten(place, ends, given) + inner.peak)
            live -= sum(self.arrays[each].bytes for each in stops.get(place, ()))
        return Traced(peak, moved)

    def _overwritten(self, place: int, ends: Mapping[int, int], given: set[int]) -> float:
        """Bytes of the operand that an operation writes into, where nothing reads it later."""
        operation = self.operations[place]
        if operation.name not in IN_PLACE or not operation.inputs or ends.get(operation.inputs[0]) != place:
            return 0.0
        first = self.arrays[operation.inputs[0]]
        return first.bytes if first.stored and first.writer >= 0 and operation.inputs[0] not in given else 0.0

    def _given(self) -> set[int]:
        """Results that take the place of an argument."""
        free: dict[tuple[float, int], int] = {}
        for array in self.arrays[: self.arguments]:
            free[array.bytes, array.count] = free.get((array.bytes, array.count), 0) + 1
        found = set()
        for each in dict.fromkeys(self.results):
            key = self.arrays[each].bytes, self.arrays[each].count
            if self.arrays[each].writer >= 0 and free.get(key):
                free[key] -= 1
                found.add(each)
        return found

    def _lifetimes(self) -> tuple[dict[int, int], float]:
        """(the last operation that reads each stored array, bytes moved)."""
        ends: dict[int, int] = {}
        moved, reduced = 0.0, set()
        for number, array in enumerate(self.arrays):
            if array.writer < 0:
                array.reads = {number: array.bytes}
        for place, operation in enumerate(self.operations):
            reads = self._reads(operation)
            writes = operation.name in WRITERS or any(self.arrays[each].stored for each in operation.outputs)
            fused = operation.name in PRODUCTS and not self.arrays[operation.outputs[0]].stored
            if writes and not fused:
                free = operation.name in ("scan", "while", "cond") or self._reads_beside(operation, reads, reduced)
                for each, amount in reads.items():
                    ends[each] = place
                    moved += 0.0 if free else amount
                if operation.name not in ("scan", "while", "cond"):
                    moved += self._written(operation)
            for each in operation.outputs:
                array = self.arrays[each]
                array.reads = {each: array.bytes} if array.stored else reads
        return ends, moved

    def _reads_beside(self, operation: _Operation, reads: Mapping[int, float], reduced: set[frozenset[int]]) -> bool:
        """Whether a reduction reads what another fusion has at hand: one that makes it, or reduces the same arrays."""
        if operation.name not in REDUCTIONS:
            return False
        sources = frozenset(reads)
        again = sources in reduced
        reduced.add(sources)
        writers = {self.arrays[each].writer for each in sources}
        return again or (len(writers) == 1 and self._is_elementwise(writers.pop()))

    def _is_elementwise(self, place: int) -> bool:
        return place >= 0 and self.operations[place].name not in WRITERS

    def _written(self, operation: _Operation) -> float:
        if operation.name in IN_PLACE:
            return 0.0  # what is written is as large as the update, which `_reads` counts twice
        return sum(self.arrays[each].bytes for each in operation.outputs if self.arrays[each].stored)

    def _reads(self, operation: _Operation) -> dict[int, float]:
        reads: dict[int, float] = {}
        for place, each in enumerate(operation.inputs):
            part = self.arrays[operation.outputs[0]].bytes if operation.name in PARTS and not place else math.inf
            if operation.name in IN_PLACE and not place:
                part = 2 * max((self.arrays[other].bytes for other in operation.inputs[1:]), default=0.0)
            for name, amount in self.arrays[each].reads.items():
                reads[name] = max(reads.get(name, 0.0), min(amount, part))
        return reads


def _inlined(equation: Any) -> core.Jaxpr | None:
    """The jaxpr of a call, whose operations run as if they stood there."""
    if equation.primitive.name in WRITERS:
        return None
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = equation.params.get(name)
        if inner is not None:
            inner = getattr(inner, "jaxpr", inner)
            return inner if hasattr(inner, "eqns") else None
    return None


def _inner(operation: _Operation, size: Size) -> Traced:
    """Peak and traffic of the parts of a loop or a condition."""
    parameters = operation.parameters
    if operation.name == "scan":
        one = _Body(parameters["jaxpr"].jaxpr, size).traced()
        return Traced(one.peak, one.moved * parameters["length"])
    if operation.name == "while":
        body = parameters["body_jaxpr"].jaxpr
        one = _Body(body, size).traced()
        return Traced(one.peak, one.moved * loop_trips(parameters["cond_jaxpr"].jaxpr, body))
    if operation.name == "cond":
        each = [_Body(branch.jaxpr, size).traced() for branch in parameters["branches"]]
        return Traced(max(one.peak for one in each), max(one.moved for one in each))
    return Traced(0.0, 0.0)
