"""What a plan says, as dataclasses that become JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Memory:
    """Memory of one chip while a step runs, in bytes.

    Attributes:
      capacity: of the chip; None where it is none.
      peak: the most that lies there at once; of a program that does not fit, what the compiler would have needed, and
        None where it does not say so.
      arguments, temporaries, program: state and batch, what is computed in between, and the machine code.
      parameters, optimizer, frozen: of the arguments, those that train, their optimizer state, and those that do not.
    """

    capacity: float | None
    peak: float | None
    arguments: float
    temporaries: float
    program: float
    parameters: float
    optimizer: float
    frozen: float

    @property
    def fits(self) -> bool | None:
        """Whether it does; None where there is no chip."""
        if self.capacity is None:
            return None
        return self.peak is not None and self.peak <= self.capacity


@dataclass(frozen=True)
class StepTime:
    """Seconds of one step.

    Attributes:
      products: matrix products at `PRODUCTS` of the chip's peak.
      memory: bytes of HBM at the published rate.
      collectives: those during which a chip computes nothing.
      hidden: those that run beside a computation.
    """

    products: float
    memory: float
    collectives: float
    hidden: float

    @property
    def total(self) -> float:
        """The longer of products and memory, then what nothing hides."""
        return max(self.products, self.memory) + self.collectives

    @property
    def bound(self) -> str:
        """What takes most of it: "products", "memory" or "collectives"."""
        parts = {"products": self.products, "memory": self.memory, "collectives": self.collectives}
        return max(parts, key=parts.__getitem__)


@dataclass(frozen=True)
class Filling:
    """How much of its rows a stage fills, measured on laid out samples.

    Attributes:
      source: whose clips and captions they are.
      samples_per_row: samples in a row.
      shares: shares of slots and frames that hold something.
      flops_per_row: of the products that a row's real tokens and frames need; None where the system counts none.
    """

    source: str
    samples_per_row: float
    shares: Mapping[str, float]
    flops_per_row: float | None


@dataclass(frozen=True)
class StagePlan:
    """What one stage takes.

    Attributes:
      name: of the stage.
      rows: of a batch, over all chips.
      steps: of the stage.
      memory: of a chip.
      advice: what to change where it does not fit.
      model_flops: of a step's products over all rows with their padding, all chips together, nothing recomputed.
      useful_flops: those that real tokens and frames need; None where the system counts none.
      flops_per_chip: of the products of the compiled program.
      hbm_bytes_per_chip: that its instructions read and write in HBM.
      collectives: bytes of each kind.
      time: of a step; None where there is no chip, or too little memory.
      mfu: share of the chips' peak that `model_flops` are.
      mfu_without_padding: share that `useful_flops` are.
      samples_per_second: of the run.
      filling: of its rows.
      kernels: custom kernels in the program.
      same_as: the stage whose program this one shares.
      compile_seconds: that tracing and compiling took; 0 where it was shared.
      price: US dollars of a chip and hour; None where none is given.
      chips: how many there are.
      arrays: of each parameter that trains or does not: path, shape, dtype, how it is split, bytes on a chip.
    """

    name: str
    rows: int
    steps: int
    memory: Memory
    advice: str | None
    model_flops: float
    useful_flops: float | None
    flops_per_chip: float | None
    hbm_bytes_per_chip: float | None
    collectives: Mapping[str, float]
    time: StepTime | None
    mfu: float | None
    mfu_without_padding: float | None
    samples_per_second: float | None
    filling: Filling
    kernels: int
    same_as: str | None
    compile_seconds: float
    price: float | None
    chips: int
    arrays: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)

    @property
    def hours(self) -> float | None:
        """Of all steps, with neither validation nor checkpoints."""
        return None if self.time is None else self.time.total * self.steps / 3600

    @property
    def chip_hours(self) -> float | None:
        """`hours` times chips."""
        return None if self.hours is None else self.hours * self.chips

    @property
    def dollars(self) -> float | None:
        """What all steps cost."""
        return None if self.price is None or self.chip_hours is None else self.chip_hours * self.price

    @property
    def bound(self) -> str | None:
        """What takes most of the time, see `StepTime`; "capacity" where the memory is too small."""
        if self.memory.fits is False:
            return "capacity"
        return self.time and self.time.bound

    def to_json(self, arrays: bool = False) -> dict[str, Any]:
        """Plain values."""
        values = {
            "fits": self.memory.fits,
            "peak_bytes_per_chip": self.memory.peak,
            "bound": self.bound,
            "hours": self.hours,
            "chip_hours": self.chip_hours,
            "dollars": self.dollars,
            "step_seconds": self.time and self.time.total,
        }
        values |= asdict(self)
        if not arrays:
            del values["arrays"]
        return values


@dataclass(frozen=True)
class Plan:
    """What the stages of a config take.

    Attributes:
      config: its name.
      topology: the slice.
      platform: "tpu", "cpu" for simulated devices, or "estimate".
      mesh: devices along each axis.
      stages: by name, in the order in which they run.
      effort: of the compiler, "fast" or "full".
      notes: what the numbers leave out or suppose.
    """

    config: str
    topology: str
    platform: str
    mesh: Mapping[str, int]
    stages: Mapping[str, StagePlan]
    effort: str
    notes: tuple[str, ...]

    @property
    def main(self) -> StagePlan:
        """The stage with most chip-hours; one that does not fit comes first, and without times the one of most work."""

        def weight(stage: StagePlan) -> tuple[bool, float]:
            return stage.memory.fits is False, stage.chip_hours or stage.model_flops * stage.steps

        return max(self.stages.values(), key=weight)

    @property
    def fits(self) -> bool | None:
        """Whether every stage does; None where there is no chip."""
        each = [stage.memory.fits for stage in self.stages.values()]
        return None if None in each else all(each)

    def to_json(self, arrays: bool = False) -> dict[str, Any]:
        """Plain values: at the top those of `main`, below them each of `stages`."""
        return {
            **self.main.to_json(),
            "stage": self.main.name,
            "config": self.config,
            "topology": self.topology,
            "platform": self.platform,
            "mesh": dict(self.mesh),
            "effort": self.effort,
            "notes": list(self.notes),
            "stages": {name: stage.to_json(arrays) for name, stage in self.stages.items()},
        }
