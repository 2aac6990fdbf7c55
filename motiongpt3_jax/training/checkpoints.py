"""Orbax checkpoints of everything: RUN/checkpoints/<stage>/<step>/{params, state, ema, progress, meta}.

They are written while training goes on and appear under their final name in one move, so a half-written one is never
read; the next run clears it away. A damaged one is noticed by its manifest, and the whole one before it is taken.
"""

import math
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Literal

import jax
import numpy as np
import orbax.checkpoint as ocp

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.interface import Tree, Variables
from motiongpt3_jax.training.manifest import FORMAT, MANIFEST, Unreadable, damage, read_json, write_manifest
from motiongpt3_jax.training.partition import merge, split
from motiongpt3_jax.training.stage import Stage
from motiongpt3_jax.training.state import TrainState

PROGRESS = ("step", "optimizer", "key", "tally")


def stage_folder(run_dir: str | Path, stage: str) -> Path:
    """Where a stage's checkpoints lie, as the absolute path that Orbax asks for."""
    return Path(run_dir).absolute() / "checkpoints" / stage


def steps_of(run_dir: str | Path, stage: str) -> list[int]:
    """Steps of a stage's checkpoints, rising; none when it never wrote one."""
    return sorted(int(path.name) for path in stage_folder(run_dir, stage).glob("*") if path.name.isdigit())


def last_step(run_dir: str | Path, stage: str) -> int | None:
    """Step of a stage's last checkpoint."""
    return max(steps_of(run_dir, stage), default=None)


def note(line: str) -> None:
    """Says a line beside the results."""
    print(line, file=sys.stderr, flush=True)


def mend_checkpoints(run_dir: str | Path, stages: Sequence[str], say: Callable[[str], None]) -> None:
    """Clears half-written checkpoints away and sets damaged ones aside, so that training goes on from whole ones.

    Args:
      run_dir: the run; nobody else writes to it.
      stages: names of its stages in order. Once one is reached that has a whole checkpoint, those before it are not
        read again.
      say: where a damaged checkpoint is named.
    """
    for half_written in (Path(run_dir) / "checkpoints").glob("*/*.orbax-checkpoint-tmp*"):
        shutil.rmtree(half_written)
    for stage in reversed(stages):
        if set_damaged_aside(run_dir, stage, say) is not None:
            return


def set_damaged_aside(run_dir: str | Path, stage: str, say: Callable[[str], None]) -> int | None:
    """Renames the damaged checkpoints of a stage; returns the step of the last whole one."""
    folder, last, damaged = stage_folder(run_dir, stage), None, []
    for step in reversed(steps_of(run_dir, stage)):
        # Only the last one is restored; of the others no more than their numbers is used.
        wrong = damage(folder / str(step), thorough=last is None)
        if wrong:
            damaged.append((folder / str(step), wrong))
        elif last is None:
            last = step
    for path, wrong in damaged:
        names = (f"damaged-{path.name}{f'-{again}' if again else ''}" for again in count())
        aside = next(folder / name for name in names if not (folder / name).exists())
        os.replace(path, aside)
        goes_on = (
            f"'{stage}' has a whole one at step {last}" if last is not None else f"'{stage}' has no whole one left"
        )
        say(f"checkpoint {path} is damaged ({wrong}); it is now {aside.name}, and {goes_on}")
    return last


class Checkpoints:
    """The checkpoints of one stage; a context that waits for what is still being written."""

    def __init__(self, run_dir: str | Path, stage: Stage, place: int = 0, order: int = 1) -> None:
        """Opens the checkpoints of a stage.

        Args:
          run_dir: the run.
          stage: the stage.
          place: its number in the run.
          order: version of the order in which its samples come.
        """
        self.stage, self.place, self.order = stage, place, order
        self.folder = stage_folder(run_dir, stage.name)
        self._writing = 0
        policies = ocp.checkpoint_managers
        keep = [policies.LatestN(stage.keep), policies.BestN(get_metric_fn=_score, n=1)]
        if stage.keep_every:
            keep.append(policies.EveryNSteps(stage.keep_every))
        self._manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                create=True,
                best_fn=_score,
                preservation_policy=policies.AnyPreservationPolicy(keep),
                async_options=ocp.AsyncOptions(post_finalization_callback=self._written),
            ),
        )
        best = self._manager.best_step()
        self._best_loss = math.inf if best is None else -_score(self._manager.metrics(best))

    def latest(self) -> int | None:
        """Step of the last checkpoint."""
        return self._manager.latest_step()

    def last_path(self) -> Path | None:
        """Folder of the last checkpoint."""
        return None if self.latest() is None else self.folder / str(self.latest())

    def is_best(self, validation: Mapping[str, float] | None) -> bool:
        """Whether a validation beats every saved one in the number that the stage goes by."""
        return validation is not None and validation[self.stage.best] < self._best_loss

    def save(self, step: int, state: TrainState, frozen: Tree, validation: Mapping[str, float] | None) -> None:
        """Starts writing a checkpoint, unless the step has one; returns once the arrays are copied."""
        if step == self.latest():
            return
        loss = math.inf if validation is None else validation[self.stage.best]
        self._best_loss = min(self._best_loss, loss)
        items = _items(state, frozen)
        meta = {"stage": self.stage.name, "place": self.place, "step": step, "items": sorted(items)}
        meta |= {"trainable": self.stage.trainable, "validation": validation or {}}
        meta |= {"format": FORMAT, "order": self.order}
        self._manager.wait_until_finished()  # one is written at a time
        self._writing = step
        self._manager.save(
            step,
            args=ocp.args.Composite(
                **{name: ocp.args.StandardSave(tree) for name, tree in items.items()},
                meta=ocp.args.JsonSave(meta),
            ),
            metrics={"score": -loss},
            force=True,  # which steps are saved is the loop's decision
        )

    def restore(self, step: int, state: TrainState, frozen: Tree) -> tuple[TrainState, Tree]:
        """A checkpoint with the shapes and shardings of the given abstract state and frozen parameters.

        Raises:
          UserError: the stage trains other parameters than when the checkpoint was written, or its samples came in
            another order.
        """
        items = _items(state, frozen)
        meta = self._manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta
        if meta["items"] != sorted(items) or tuple(meta["trainable"]) != self.stage.trainable:
            raise UserError(
                f"{self.folder / str(step)} was written with trainable={meta['trainable']} and {meta['items']}, "
                f"the stage now has trainable={list(self.stage.trainable)} and {sorted(items)}; "
                "continue with the old settings or start a new run directory."
            )
        if meta.get("order", 1) != self.order:
            raise UserError(
                f"{self.folder / str(step)} was written when samples came in order {meta.get('order', 1)}, and now "
                f"they come in order {self.order}; finish the stage with the version of this program that began it, "
                "or start a new run directory."
            )
        args = {name: ocp.args.StandardRestore(tree) for name, tree in items.items()}
        found = self._manager.restore(step, args=ocp.args.Composite(**args))
        params, frozen = split(found["params"], self.stage.trainable)
        moving = {"params": params, "state": found.get("state") or {}, "ema": found.get("ema") or {}}
        return state.replace(**moving, **found["progress"]), frozen

    def wait(self) -> None:
        """Returns when everything is on disk; raises what went wrong in writing."""
        self._manager.wait_until_finished()

    def _written(self) -> None:
        """Called in the first process when all files of a checkpoint are written, before it gets its final name."""
        for folder in self.folder.glob(f"{self._writing}.orbax-checkpoint-tmp*"):
            write_manifest(folder)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._manager.close()


def restore_variables(
    run_dir: str | Path,
    stage: str | None = None,
    which: Literal["last", "best"] = "last",
    ema: bool = True,
    say: Callable[[str], None] = note,
) -> tuple[str, int, Variables]:
    """(stage, step, variables) of a run, as numpy arrays, whatever devices wrote them.

    A damaged checkpoint is left where it is, and the one before it (or the next best) is taken.

    Args:
      run_dir: the run.
      stage: the stage; the last that the run reached when not given.
      which: the last checkpoint, or the one with the best validation.
      ema: take the moving average of what has one.
      say: where it is said that a checkpoint is damaged, or has no manifest.

    Raises:
      FileNotFoundError: there is no such checkpoint, or none is whole.
    """
    root = Path(run_dir).absolute() / "checkpoints"
    names = [stage] if stage else sorted(folder.name for folder in root.glob("*") if folder.is_dir())
    found = [(name, steps_of(run_dir, name)) for name in names]
    found = [(name, steps) for name, steps in found if steps]
    if not found:
        raise FileNotFoundError(
            f"no checkpoint of {f'stage {stage!r}' if stage else 'any stage'} in {root}; train first."
        )
    damaged = []
    for name, steps in sorted(found, key=lambda item: _place(root / item[0], item[1]), reverse=True):
        for step in steps[::-1] if which == "last" else _best_first(root / name, steps):
            folder = root / name / str(step)
            wrong = damage(folder)
            if wrong:
                damaged.append(f"checkpoint {folder} is damaged ({wrong})")
                continue
            for line in damaged:
                say(f"{line}; step {step} of '{name}' is taken instead, and `train` mends the run")
            if not (folder / MANIFEST).is_file():
                say(f"note: checkpoint {folder} is an older one without checksums; damage would go unnoticed")
            return name, step, read_variables(folder, ema)
    raise FileNotFoundError(f"{damaged[0]}, and no other one is whole; train again.")


def restore_end(run_dir: str | Path, stage: str) -> Variables:
    """Variables at the end of a finished stage, as numpy arrays, without its moving average.

    Raises:
      UserError: its last checkpoint is damaged.
    """
    folder = stage_folder(run_dir, stage) / str(last_step(run_dir, stage))
    wrong = damage(folder)
    if wrong:
        raise UserError(
            f"checkpoint {folder} is damaged ({wrong}); the same command sets it aside and trains '{stage}' to its end "
            "from the one before."
        )
    return read_variables(folder, ema=False)


def read_variables(folder: Path, ema: bool) -> Variables:
    """The variables of one checkpoint; with `ema`, the moving average of what has one."""
    items = {item: _read(folder / item) for item in ("params", "state", "ema")}
    if ema and items["ema"]:
        items["params"] = merge(items["ema"], items["params"])
    return Variables(items["params"], items["state"])


def _place(folder: Path, steps: list[int]) -> int:
    """A stage's place in its run, from the last checkpoint that says it; -1 when none does."""
    for step in reversed(steps):
        try:
            return int(read_json(folder / str(step), "meta/metadata")["place"])
        except (Unreadable, KeyError, TypeError, ValueError):
            continue
    return -1


def _best_first(folder: Path, steps: list[int]) -> list[int]:
    """The steps by their validation, the best first; those without one at the end, the last of them first.

    Those that do not say theirs are damaged; they come before all, to be named.
    """
    scores: dict[int, float] = {}
    for step in steps:
        try:
            scores[step] = float(read_json(folder / str(step), "metrics/metrics")["score"])
        except (Unreadable, KeyError, TypeError, ValueError):
            scores[step] = math.inf
    if max(scores.values()) == -math.inf:
        raise FileNotFoundError(f"no checkpoint in {folder} has a validation result; ask for the last one instead.")
    return sorted(steps, key=lambda step: (scores[step], step), reverse=True)


def restore_params(
    run_dir: str | Path, stage: str | None = None, which: Literal["last", "best"] = "last", ema: bool = True
) -> tuple[str, int, Tree]:
    """`restore_variables` for systems whose variables are parameters alone."""
    name, step, variables = restore_variables(run_dir, stage, which, ema)
    return name, step, variables.params


def _items(state: TrainState, frozen: Tree) -> dict[str, Tree]:
    """What lies in a checkpoint's folders: what inference reads apart from what only training does."""
    progress = {name: getattr(state, name) for name in PROGRESS}
    items = {"params": merge(state.params, frozen), "state": state.state, "ema": state.ema, "progress": progress}
    return {name: tree for name, tree in items.items() if jax.tree.leaves(tree)}


def _score(metrics: Mapping[str, float]) -> float:
    return metrics["score"]


def _read(folder: Path) -> Tree:
    """A tree of numpy arrays; empty when the checkpoint has no such folder."""
    if not folder.is_dir():
        return {}
    handler = ocp.PyTreeCheckpointHandler()
    shapes = handler.metadata(folder).tree
    args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    return handler.restore(folder, args=ocp.args.PyTreeRestore(restore_args=args))
