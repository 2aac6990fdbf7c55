"""Plans inference: compiles the programs that answer a batch of requests for a chip, and says what they take."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jax.interpreters import partial_eval
from jax.sharding import SingleDeviceSharding
from ml_collections import ConfigDict

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.experiment.config import RunConfig
from motiongpt3_jax.experiment.run import make_statistics
from motiongpt3_jax.inference.engine import Engine
from motiongpt3_jax.inference.folder import ModelFolder, plain
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.models.dense import traced_for
from motiongpt3_jax.parallel.hlo import Program as HloProgram
from motiongpt3_jax.planning.chips import PRODUCTS, Chip, Slice
from motiongpt3_jax.planning.filling import make_tokenizer, open_clips
from motiongpt3_jax.planning.make_plan import Platform, devices_of, price_of
from motiongpt3_jax.planning.program_cost import Cost, CostReader
from motiongpt3_jax.planning.results import Memory, StepTime
from motiongpt3_jax.planning.stage_program import compile_lowered, compiled_memory, model_spec
from motiongpt3_jax.planning.traced_flops import jaxpr_flops
from motiongpt3_jax.planning.traced_memory import jaxpr_memory, tiled_bytes
from motiongpt3_jax.systems.interface import Question

Task = Literal["generate", "caption"]

NOTES = (
    "planned for one chip, which answers a batch at a time: a slice answers as many batches at once as it has chips",
    "loops that end with the data are counted to their longest",
)


@dataclass(frozen=True)
class Requests:
    """A batch of requests, as `motiongpt3 bench` asks.

    Attributes:
      task: "generate" motions of sentences, or "caption" motions.
      count: requests at once.
      frames: of each motion.
      tokens: of each caption.
      sampling: how motions are sampled, see `Answers.motion_options`.
    """

    task: Task
    count: int = 32
    frames: int = 196
    tokens: int = 40
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PhasePlan:
    """What one phase of answers takes; `StagePlan` has the same names.

    Attributes:
      name: of the phase.
      memory: of the chip.
      model_flops: of its products, padding included.
      flops_per_chip: of the products of the compiled program.
      hbm_bytes_per_chip: that its instructions read and write in HBM.
      time: of one run.
      compile_seconds: that tracing and compiling took.
    """

    name: str
    memory: Memory
    model_flops: float
    flops_per_chip: float | None
    hbm_bytes_per_chip: float | None
    time: StepTime | None
    compile_seconds: float


@dataclass(frozen=True)
class AnswerPlan:
    """What a batch of requests takes on one chip.

    Attributes:
      config: its name.
      topology: whose chips.
      platform: as of `Plan`.
      requests: the batch.
      phases: in the order in which they run.
      price: US dollars of a chip and hour; None where none is given.
      peak_flops: of the chip, a second.
      notes: what the numbers suppose.
    """

    config: str
    topology: str
    platform: str
    requests: Requests
    phases: Sequence[PhasePlan]
    price: float | None
    peak_flops: float
    notes: tuple[str, ...] = NOTES

    @property
    def fits(self) -> bool | None:
        """Whether every phase does; None where there is no chip."""
        each = [phase.memory.fits for phase in self.phases]
        return None if None in each else all(each)

    @property
    def largest(self) -> Memory:
        """Memory of the phase that takes most of it."""
        return max((phase.memory for phase in self.phases), key=lambda memory: memory.peak or float("inf"))

    @property
    def times(self) -> Sequence[StepTime] | None:
        """Of each phase; None where one has none."""
        times = [phase.time for phase in self.phases]
        return None if None in times else times

    @property
    def seconds(self) -> float | None:
        """Of the batch, on the chip alone."""
        return None if self.times is None else sum(time.total for time in self.times)

    @property
    def bound(self) -> str | None:
        """What takes most of the time; "capacity" where the memory is too small."""
        if self.fits is False:
            return "capacity"
        if self.times is None:
            return None
        spent: dict[str, float] = {}
        for one in self.times:
            spent[one.bound] = spent.get(one.bound, 0.0) + one.total
        return max(spent, key=spent.__getitem__)

    @property
    def model_flops(self) -> float:
        """Of all phases."""
        return sum(phase.model_flops for phase in self.phases)

    def to_json(self) -> dict[str, Any]:
        """Plain values; the names at the top are those of plans of training."""
        seconds, count = self.seconds, self.requests.count
        moved = [phase.hbm_bytes_per_chip for phase in self.phases]
        dollars = self.price and seconds and self.price * seconds / 3600 / count * 1e6
        return {
            "fits": self.fits,
            "peak_bytes_per_chip": self.largest.peak,
            "hbm_bytes_per_chip": None if None in moved else sum(moved),
            "collectives": {},
            "mfu": seconds and self.model_flops / seconds / self.peak_flops,
            "samples_per_second": seconds and count / seconds,
            "bound": self.bound,
            "batch_seconds": seconds,
            "dollars_per_million": dollars,
            "model_flops": self.model_flops,
            "config": self.config,
            "topology": self.topology,
            "platform": self.platform,
            "chips": 1,
            "requests": asdict(self.requests),
            "notes": list(self.notes),
            "phases": [asdict(phase) for phase in self.phases],
        }


def plan_answers(
    config: str | ConfigDict,
    topology: str,
    requests: Requests,
    *,
    name: str | None = None,
    platform: Platform = "tpu",
    effort: Literal["fast", "full"] = "fast",
    prices: Mapping[str, float] | None = None,
    words: int | None = None,
) -> AnswerPlan:
    """What a batch of requests takes on one chip, by compiling the engine's programs without any.

    Args:
      config: such as "motiongpt3:base", or what `load_config` gives.
      topology: whose chips, such as "v5e:4x4".
      requests: the batch.
      name, platform, effort, prices, words: as of `plan`.

    Raises:
      UserError: the config or a request is wrong, there is no libtpu, or no such slice.
    """
    loaded = load_config(config) if isinstance(config, str) else config
    named = name or (config if isinstance(config, str) else "config")
    chips = Slice.of(topology)
    price = price_of(chips, prices or {})
    devices = devices_of(chips, platform)
    checked = check_config(plain(loaded.to_dict()))
    if platform == "estimate":
        take = partial(estimate_phase, chip=chips.chip)
    else:
        capacity = chips.chip.hbm if platform == "tpu" else None
        take = partial(compile_phase, device=devices[0], chip=chips.chip, capacity=capacity, full=effort == "full")
    with traced_for("cpu" if platform == "cpu" else "tpu"):
        phases = [take(program) for program in record_programs(checked, requests, words)]
    return AnswerPlan(named, topology, platform, requests, phases, price, chips.chip.flops)


@dataclass(frozen=True)
class PhaseProgram:
    """A program of the engine, and shapes of what it takes: variables first."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class RecordingEngine(Engine):
    """An engine that runs nothing: it notes its programs, whose results are ones of the right shapes.

    Attributes:
      recorded: the programs, in their order.
    """

    recorded: list[PhaseProgram] = field(default_factory=list)

    def _timed(self, name: str, key: Any, function: Callable[..., Any], *arguments: Any) -> Any:
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), (self.variables, *arguments))
        self.recorded.append(PhaseProgram(name, function, shapes))
        # Lengths and tokens are looked at between phases; there is at least one of each.
        return jax.tree.map(lambda x: np.ones(x.shape, x.dtype), jax.eval_shape(function, *shapes))


def record_programs(config: RunConfig, requests: Requests, words: int | None = None) -> list[PhaseProgram]:
    """The programs that the engine runs for a batch of requests of a config with fresh weights."""
    spec = model_spec(config, words)
    with open_clips(config) as (records, _):
        tokenizer = make_tokenizer(config, spec, records)
        # As if trained on clips of so many frames: none are cut into windows.
        statistics = replace(make_statistics(records), lengths=np.array([requests.frames]))
        folder = ModelFolder(Path(), config.values, tokenizer, statistics)
        clips = records.split("train")
        captions, clip = [texts[0] for texts in clips.captions], clips.source[0].features
    # Questions are cut by a small tokenizer; the arrays are those of the vocabulary that the config names.
    system = folder.kind.make_system(spec)
    answers = folder.kind.make_answers(folder.spec, system)
    variables = jax.eval_shape(answers.prepare, system.shapes)
    engine = RecordingEngine(system, answers, variables, folder, ("none", 0))
    prompts, count, frames = Prompts.of(folder, "generate"), requests.count, requests.frames
    if requests.task == "generate":
        _check_frames(engine, frames)
        length = frames if engine.answers.capabilities.takes_length else 0
        sentences = [captions[i % len(captions)] for i in range(count)]
        questions = [Question(prompts.motion_question(text, "train", 0, length)) for text in sentences]
        options = engine.answers.motion_options(**requests.sampling)
        engine.generate_motions(questions, [length] * count, range(count), options)
    else:
        longest = engine.answers.capabilities.longest_read
        if frames > longest:
            raise UserError(f"--frames {frames}: this model reads up to {longest} at once; ask for fewer")
        # Memory and time do not depend on what the clips show: one repeated to the asked length does.
        features = np.resize(clip, (frames, clip.shape[1]))
        task = prompts.of_role("caption").name
        questions = [Question(prompts.question(task, frames=frames), (features,))] * count
        engine.generate_texts(questions, engine.answers.text_options(max_new=requests.tokens))
    return engine.recorded


def _check_frames(engine: Engine, frames: int) -> None:
    low, high = engine.frames
    if engine.answers.capabilities.takes_length and not low <= frames <= high:
        raise UserError(f"--frames {frames}: this model makes {low} to {high} at once; ask for as many")


def compile_phase(program: PhaseProgram, device: Any, chip: Chip, capacity: float | None, full: bool) -> PhasePlan:
    """A phase compiled for one chip."""
    start = time.monotonic()
    at = SingleDeviceSharding(device)
    arguments = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=at), program.arguments)
    compiled = compile_lowered(jax.jit(program.function).lower(*arguments), capacity is not None, full)
    memory = compiled_memory(compiled, capacity, _bytes(program.arguments[0]))
    cost = None if compiled.text is None else CostReader(HloProgram.of(compiled.text)).total()
    taken = _time(cost, chip) if cost and capacity and memory.fits else None
    return _phase(program, memory, cost, taken, start)


def estimate_phase(program: PhaseProgram, chip: Chip) -> PhasePlan:
    """A phase by its traced program."""
    start = time.monotonic()
    closed = jax.make_jaxpr(program.function)(*program.arguments)
    jaxpr = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)[0]
    traced = jaxpr_memory(jaxpr, consumes=False)
    arguments = sum(tiled_bytes(x.shape, x.dtype) for x in jax.tree.leaves(program.arguments))
    weights = _bytes(program.arguments[0])
    memory = Memory(chip.hbm, arguments + traced.peak, arguments, traced.peak, 0.0, weights, 0.0, 0.0)
    cost = Cost(jaxpr_flops(jaxpr), traced.moved)
    return _phase(program, memory, cost, _time(cost, chip) if memory.fits else None, start)


def _phase(program: PhaseProgram, memory: Memory, cost: Cost | None, taken: StepTime | None, start: float) -> PhasePlan:
    closed = jax.make_jaxpr(program.function)(*program.arguments)
    model = jaxpr_flops(partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))[0])
    seconds = time.monotonic() - start
    return PhasePlan(program.name, memory, model, cost and cost.flops, cost and cost.bytes, taken, seconds)


def _time(cost: Cost, chip: Chip) -> StepTime:
    return StepTime(cost.flops / (PRODUCTS * chip.flops), cost.bytes / chip.hbm_rate, 0.0, 0.0)


def _bytes(tree: Any) -> float:
    return float(sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree)))
