"""The staged train loop: it runs stages in order, saves as it goes, and continues wherever it was stopped."""

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array

from motiongpt3_jax.batch import Batch
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.no_room import no_room_as_sentence
from motiongpt3_jax.parallel import SHARDING, ShardingOptions, first_does, local_rows, make_mesh, put_batch
from motiongpt3_jax.parallel.announcements import Announcements
from motiongpt3_jax.parallel.peer_failure import exit_on_peer_failure
from motiongpt3_jax.statuses import FAILED
from motiongpt3_jax.systems.interface import System, Tree, Variables
from motiongpt3_jax.training.checkpoints import Checkpoints, mend_checkpoints
from motiongpt3_jax.training.data import Data
from motiongpt3_jax.training.folders import BASE, last_step, stages_of, steps_of
from motiongpt3_jax.training.goodput import Goodput
from motiongpt3_jax.training.interrupts import Interrupts, TrainingInterrupted
from motiongpt3_jax.training.lock import run_lock
from motiongpt3_jax.training.log import Log, Meter
from motiongpt3_jax.training.partition import merge, paths_of, split
from motiongpt3_jax.training.prefetch import Prefetch
from motiongpt3_jax.training.profile import Profile
from motiongpt3_jax.training.program import Program, make_program
from motiongpt3_jax.training.reading import ReadOutside
from motiongpt3_jax.training.references import Outside
from motiongpt3_jax.training.stage import Stage
from motiongpt3_jax.training.starts import RunStart, StageEnd, Start
from motiongpt3_jax.training.state import TrainState
from motiongpt3_jax.training.step import Report, means, weighted_total
from motiongpt3_jax.training.watchdog import Watchdog

AHEAD = 2
"""Steps that may be under way while the next is prepared: enough to hide the host, few enough to stop soon."""

BATCHES_AHEAD = 2
"""Batches that wait on the devices beside those of the steps under way."""


def show_line(line: str) -> None:
    """Prints a line at once."""
    print(line, flush=True)


class TrainingDiverged(RuntimeError):
    """A loss or gradient was not finite."""

    status = FAILED


@dataclass(frozen=True)
class Hooks:
    """What a caller adds to a run.

    Attributes:
      samples: called with (stage, step, variables) every `Stage.sample_every` steps, with the moving average where
        there is one. The arrays are gone after the call.
      show: where progress lines go.
      show_every: least seconds between two progress lines.
      profile: folder that gets a trace of a few steps of each stage, for XProf.
      peak: FLOP/s of all devices that MFU is a share of; None leaves MFU out.
      step_timeout: seconds without a step after which one of several processes leaves; 0 waits without end.
    """

    samples: Callable[[Stage, int, Variables], None] | None = None
    show: Callable[[str], None] = show_line
    show_every: float = 2.0
    profile: Path | None = None
    peak: float | None = None
    step_timeout: float = 0.0


class Contents(NamedTuple):
    """What a batch holds.

    Attributes:
      useful: see `Data.useful`.
      flops: that the model needs to train on it.
    """

    useful: Mapping[str, float]
    flops: float


def run(
    system: System,
    stages: Sequence[Stage],
    data: Callable[[Stage], Data],
    run_dir: str | Path,
    *,
    seed: int = 0,
    mesh: Mesh | None = None,
    initial: Callable[[Array], Variables] | None = None,
    outside: Sequence[Outside] = (),
    hooks: Hooks | None = None,
    sharding: ShardingOptions = SHARDING,
) -> None:
    """Trains the stages that are not finished yet.

    Args:
      system: what to train.
      stages: the stages in order; names are unique.
      data: gives a stage its data; asked only for stages that still have steps to do.
      run_dir: holds checkpoints, metrics.jsonl and tensorboard; the same folder continues a run, one at a time.
      seed: decides the fresh variables and every draw of the losses.
      mesh: devices; all of them along `data` when not given.
      initial: key -> variables that the first stage starts from, such as pretrained ones; those that it leaves out, or
        all when it is not given, are fresh.
      outside: which of them lie in folders outside of the run, to be read from there and not copied into it.
      hooks: what the caller adds.
      sharding: how the mesh is used.

    Raises:
      TrainingInterrupted: a signal asked for the end and steps are left; the next call with the same arguments
        continues. Where none are left, the call returns.
      TrainingDiverged: a loss or gradient was not finite.
      UserError: the run directory's checkpoints do not fit the stages, or another process trains there; or the disk,
        devices or machine have no room left (`NoRoomError`).
    """
    run_dir = Path(run_dir).absolute()
    mesh, hooks = mesh or make_mesh(), hooks or Hooks()
    names = [stage.name for stage in stages]
    _check_names(names)
    upgrade = system.upgrade
    read_outside = _reader(initial, seed)
    begin: Start = RunStart(system, mesh, run_dir, seed, initial, outside, sharding)
    with (
        exit_on_peer_failure(),
        no_room_as_sentence("the run", run_dir),
        run_lock(run_dir),
        jax.set_mesh(mesh),
        Interrupts() as interrupts,
    ):
        first_does("look at the checkpoints", partial(mend_checkpoints, run_dir, names, hooks.show))
        _check_left_out(stages, run_dir)
        _check_order(stages, {name: last_step(run_dir, name) for name in names}, run_dir)
        for place, stage in enumerate(stages):
            done = last_step(run_dir, stage.name) or 0
            if done >= stage.steps:
                hooks.show(f"{stage.name} is finished, at step {done} of {stage.steps}")
            else:
                goodput = Goodput(hooks.peak)
                batches = data(stage)
                with Checkpoints(run_dir, stage, place, batches.order, upgrade, read_outside) as checkpoints:
                    log = Log(run_dir, names, stage, done, hooks.show, hooks.show_every)
                    # Closing the checkpoints would wait for a process that is dead.
                    room = no_room_as_sentence(f"stage '{stage.name}'", run_dir)
                    with exit_on_peer_failure(), room, closing(log):
                        ends = place == len(stages) - 1
                        stage_run = _Run(
                            system, stage, batches, mesh, seed, checkpoints, log, hooks, ends, sharding, goodput
                        )
                        stage_run.train(begin, interrupts)
            begin = StageEnd(system, mesh, run_dir, stage.name, upgrade, read_outside, sharding)


class _Run:
    """One stage under way."""

    def __init__(
        self,
        system: System,
        stage: Stage,
        data: Data,
        mesh: Mesh,
        seed: int,
        checkpoints: Checkpoints,
        log: Log,
        hooks: Hooks,
        ends_run: bool,
        sharding: ShardingOptions,
        goodput: Goodput,
    ) -> None:
        self.ends_run, self.goodput, self.validated = ends_run, goodput, False
        self.system, self.stage, self.data, self.mesh, self.seed = system, stage, data, mesh, seed
        self.checkpoints, self.log, self.hooks, self.sharding = checkpoints, log, hooks, sharding
        self.under_way: deque[tuple[int, Report, Contents]] = deque()

    def train(self, begin: Start, interrupts: Interrupts) -> None:
        """From the last checkpoint, or from the stage's beginning, to its end."""
        stage = self.stage
        program, state, frozen = self.prepare(begin)
        start = int(state.step)
        if reason := interrupts.stop_reason():
            raise self.interrupted(reason, start)  # nothing is new, so nothing is saved
        self.processes = self.data.rows / len(local_rows(self.mesh, self.data.rows))
        self.meter = Meter(start, self.processes)
        board = Announcements() if jax.process_count() > 1 else None
        self.watchdog = Watchdog(stage.name, start, self.hooks.step_timeout, lambda: self.goodput.now, board)
        with (
            self.watchdog,
            Profile(self.hooks.profile, stage, start, self.log.say) as profile,
            closing(
                Prefetch(self.data.batches(start), partial(self.place, paths_of(frozen)), BATCHES_AHEAD)
            ) as batches,
            self.goodput.part("host"),
        ):
            for step in range(start + 1, stage.steps + 1):
                with self.goodput.part("input"):
                    batch, contents = next(batches)
                profile.before(step, self.settle)
                compiles = self.goodput.part("compile") if step == start + 1 else nullcontext()
                with compiles, jax.profiler.StepTraceAnnotation("train", step_num=step):
                    state, report = program.step(state, frozen, batch)
                self.under_way.append((step, report, contents))
                self.settle(AHEAD)
                profile.after(step, self.settle)
                self.between(program, step, state, frozen, interrupts.stop_reason())

    def between(self, program: Program, step: int, state: TrainState, frozen: Tree, reason: str | None) -> None:
        """What is due behind a step: validation, samples, a checkpoint, the end.

        Raises:
          TrainingInterrupted: there is a reason to stop, and steps are left.
        """
        stage, last = self.stage, step >= self.stage.steps
        validation = None
        if last or _due(step, stage.evaluate_every):
            validation = self.validate(program, step, state, frozen)
        if self.hooks.samples and _due(step, stage.sample_every):
            self.settle()
            with self.goodput.part("samples"):
                self.hooks.samples(stage, step, Variables(merge(state.ema or state.params, frozen), state.state))
        best = self.checkpoints.is_best(validation)
        if last or best or reason or _due(step, stage.checkpoint_every):
            self.settle()
            with self.goodput.part("checkpoint"):
                self.log.publish()  # what belongs to the checkpoint is there before it
                self.checkpoints.save(step, state, validation)
        if last or reason:
            with self.goodput.part("checkpoint"):
                self.checkpoints.wait()
            self.log.end(step, self.goodput.total())
        if reason and not (last and self.ends_run):
            raise self.interrupted(reason, step)

    def prepare(self, begin: Start) -> tuple[Program, TrainState, Tree]:
        """The stage's program, the state that it goes on with, and the frozen parameters."""
        latest = self.checkpoints.latest()
        example = self.put(self.data.batch(latest or 0))
        system = self.system
        program = make_program(system, self.stage, self.mesh, self.seed, system.shapes, example, self.sharding)
        if latest is None:
            variables = begin.variables(program.frozen)
            stored = split(variables.params, self.stage.trainable)[1]
            state, frozen = program.start(variables)
        else:
            self.log.say(f"{self.stage.name} continues at step {latest} of {self.stage.steps}")
            state, stored = self.checkpoints.restore(latest, program.state, program.frozen, program.stored)
            frozen = program.cast_frozen(stored)
        if self.checkpoints.references is None:
            self.checkpoints.references = begin.references(stored, anew=latest is None)
        return program, state, frozen

    def interrupted(self, reason: str, step: int) -> TrainingInterrupted:
        """Names the step that the next call goes on from."""
        return TrainingInterrupted(
            f"{reason}: stage '{self.stage.name}' stopped and saved at step {step} of {self.stage.steps}; "
            "the same command continues."
        )

    def put(self, batch: Batch) -> Batch:
        """A global batch on the devices, from this process's rows."""
        return put_batch(self.mesh, batch, self.data.rows)

    def place(self, frozen: Collection[str], batch: Batch) -> tuple[Batch, Contents]:
        """A batch on the devices, what it holds, and its FLOPs where some parameters are frozen; called in a thread."""
        stage, flops = self.stage, None
        if self.hooks.peak:
            flops = self.system.train_flops(stage.loss, batch, stage.objective, frozen)
        return self.put(batch), Contents(dict(self.data.useful(batch)), flops or 0.0)

    def settle(self, leave: int = 0) -> None:
        """Waits until at most `leave` steps are under way; looks at what the finished ones reported.

        Raises:
          TrainingDiverged: at the first step that was not finite; no later state has been saved.
        """
        while len(self.under_way) > leave:
            step, report, contents = self.under_way.popleft()
            with self.goodput.part("device"):
                finite = bool(report.finite)
            if not finite:
                raise TrainingDiverged(self.divergence(step))
            self.watchdog.step(step)
            self.meter.add(step, contents.useful)
            self.goodput.add(contents.flops * self.processes)
            if step % self.stage.log_every == 0 or step >= self.stage.steps:
                numbers = means(jax.device_get(report.tally))
                self.log.train(step, numbers, self.meter.take(self.stage.steps), self.goodput.take())

    def validate(self, program: Program, step: int, state: TrainState, frozen: Tree) -> dict[str, float] | None:
        """The loss, its terms and metrics over the validation batches; None when there are none."""
        self.settle()
        with self.goodput.part("evaluation"):
            numbers = self.validation_numbers(program, state, frozen)
        if numbers is None:
            return None
        if self.stage.best not in numbers:
            raise UserError(f"stage '{self.stage.name}' goes by '{self.stage.best}'; validation has {sorted(numbers)}.")
        self.log.validation(step, numbers)
        return numbers

    def validation_numbers(self, program: Program, state: TrainState, frozen: Tree) -> dict[str, float] | None:
        """What a validation finds."""
        tally = None
        for batch in self.data.validation():
            params, placed = state.ema or state.params, self.put(batch)
            with nullcontext() if self.validated else self.goodput.part("compile"):
                more = program.evaluate(params, frozen, state.state, state.key, placed)
            self.validated = True
            tally = more if tally is None else jax.tree.map(np.add, tally, jax.device_get(more))
        if tally is None:
            return None
        terms = {name.removeprefix("loss/"): pair for name, pair in tally.items() if name.startswith("loss/")}
        sums, counts = ({name: pair[i] for name, pair in terms.items()} for i in (0, 1))
        return {"loss": float(weighted_total(sums, counts, self.stage))} | means(jax.device_get(tally))

    def divergence(self, step: int) -> str:
        """Names the step, its samples and where to go on from."""
        samples = ", ".join(self.data.describe(_numbers(self.data.batch(step - 1))))
        self.checkpoints.wait()
        good = self.checkpoints.last_path()
        return (
            f"loss or gradient of stage '{self.stage.name}' is not finite at step {step}, with samples {samples}; "
            f"last good checkpoint: {good or 'none yet'}. Lower the learning rate, clip gradients or leave samples "
            "out (data.leave_out), then run again."
        )


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _numbers(batch: Batch) -> list[int]:
    return [int(number) for number in np.ravel(batch.samples) if number >= 0]


def _reader(initial: Callable[[Array], Variables] | None, seed: int) -> ReadOutside | None:
    """Reads again what the run began with."""
    return None if initial is None else lambda folder: initial(jax.random.key(seed)).params


def _check_names(names: Sequence[str]) -> None:
    """Stages have folders of their own."""
    if len(set(names)) < len(names):
        raise UserError(f"stage names {names} repeat; give each its own.")
    if BASE in names:
        raise UserError(f"a stage is named '{BASE}', as what a run began with is; give it another name.")


def _check_left_out(stages: Sequence[Stage], run_dir: Path) -> None:
    """What is left to train goes on from every stage that the run holds."""
    names = [stage.name for stage in stages]
    others = [name for name in stages_of(run_dir) if name not in names and steps_of(run_dir, name)]
    if others and any((last_step(run_dir, stage.name) or 0) < stage.steps for stage in stages):
        raise UserError(
            f"{run_dir} holds the stage '{others[0]}', which is left out now, and a later stage would not go on from "
            "it: name it before the others, or start a new run directory from the model in this one."
        )


def _check_order(stages: Sequence[Stage], done: dict[str, int | None], run_dir: Path) -> None:
    """A stage that is not finished has no successor with checkpoints."""
    unfinished = None
    for stage in stages:
        if unfinished and done[stage.name] is not None:
            raise UserError(
                f"{run_dir} has checkpoints of stage '{stage.name}' but stage '{unfinished.name}' before it ends at "
                f"step {unfinished.steps} and got to {done[unfinished.name] or 0}; restore its old number of steps "
                "or start a new run directory."
            )
        if (done[stage.name] or 0) < stage.steps:
            unfinished = unfinished or stage
