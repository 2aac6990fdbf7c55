"""Orbax checkpoints of everything: RUN/checkpoints/<stage>/<step>/{params, state, ema, progress, meta}.

They are written while training goes on and appear under their final name in one move, so a half-written one is never
read; the next run clears it away.
"""

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

import jax
import numpy as np
import orbax.checkpoint as ocp

from motiongpt3_jax.systems.interface import Tree, Variables
from motiongpt3_jax.training.partition import merge, split
from motiongpt3_jax.training.stage import Stage
from motiongpt3_jax.training.state import TrainState

PROGRESS = ("step", "optimizer", "key", "tally")


def stage_folder(run_dir: str | Path, stage: str) -> Path:
    """Where a stage's checkpoints lie, as the absolute path that Orbax asks for."""
    return Path(run_dir).absolute() / "checkpoints" / stage


def steps_of(run_dir: str | Path, stage: str) -> list[int]:
    """Steps of a stage's complete checkpoints, rising; none when it never wrote one."""
    folder = stage_folder(run_dir, stage)
    return sorted(ocp.utils.checkpoint_steps(folder)) if folder.is_dir() else []


class Checkpoints:
    """The checkpoints of one stage; a context that waits for what is still being written."""

    def __init__(self, run_dir: str | Path, stage: Stage, place: int = 0) -> None:
        """Opens the checkpoints of a stage, which is number `place` of its run."""
        self.stage = stage
        self.place = place
        self.folder = stage_folder(run_dir, stage.name)
        if jax.process_index() == 0:
            for half_written in self.folder.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(half_written)
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
          ValueError: the stage trains other parameters than when the checkpoint was written.
        """
        items = _items(state, frozen)
        meta = self._manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta
        if meta["items"] != sorted(items) or tuple(meta["trainable"]) != self.stage.trainable:
            raise ValueError(
                f"{self.folder / str(step)} was written with trainable={meta['trainable']} and {meta['items']}, "
                f"the stage now has trainable={list(self.stage.trainable)} and {sorted(items)}; "
                "continue with the old settings or start a new run directory."
            )
        args = {name: ocp.args.StandardRestore(tree) for name, tree in items.items()}
        found = self._manager.restore(step, args=ocp.args.Composite(**args))
        params, frozen = split(found["params"], self.stage.trainable)
        moving = {"params": params, "state": found.get("state") or {}, "ema": found.get("ema") or {}}
        return state.replace(**moving, **found["progress"]), frozen

    def wait(self) -> None:
        """Returns when everything is on disk; raises what went wrong in writing."""
        self._manager.wait_until_finished()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._manager.close()


def restore_variables(
    run_dir: str | Path,
    stage: str | None = None,
    which: Literal["last", "best"] = "last",
    ema: bool = True,
) -> tuple[str, int, Variables]:
    """(stage, step, variables) of a run, as numpy arrays, whatever devices wrote them.

    Args:
      run_dir: the run.
      stage: the stage; the last that the run reached when not given.
      which: the last checkpoint, or the one with the best validation.
      ema: take the moving average of what has one.

    Raises:
      FileNotFoundError: there is no such checkpoint.
    """
    root = Path(run_dir).absolute() / "checkpoints"
    names = [stage] if stage else sorted(folder.name for folder in root.glob("*") if folder.is_dir())
    found = [(name, steps_of(run_dir, name)) for name in names]
    found = [(name, steps) for name, steps in found if steps]
    if not found:
        raise FileNotFoundError(
            f"no checkpoint of {f'stage {stage!r}' if stage else 'any stage'} in {root}; train first."
        )
    name, steps = max(found, key=lambda item: _json(root / item[0] / str(item[1][-1]) / "meta/metadata")["place"])
    step = steps[-1] if which == "last" else _best(root / name, steps)
    items = {item: _read(root / name / str(step) / item) for item in ("params", "state", "ema")}
    if ema and items["ema"]:
        items["params"] = merge(items["ema"], items["params"])
    return name, step, Variables(items["params"], items["state"])


def _best(folder: Path, steps: list[int]) -> int:
    scores = {step: _score(_json(folder / str(step) / "metrics/metrics")) for step in steps}
    best = max(steps, key=lambda step: scores[step])
    if scores[best] == -math.inf:
        raise FileNotFoundError(f"no checkpoint in {folder} has a validation result; ask for the last one instead.")
    return best


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


def _json(path: Path) -> dict[str, float]:
    return json.loads(path.read_text())


def _read(folder: Path) -> Tree:
    """A tree of numpy arrays; empty when the checkpoint has no such folder."""
    if not folder.is_dir():
        return {}
    handler = ocp.PyTreeCheckpointHandler()
    shapes = handler.metadata(folder).tree
    args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    return handler.restore(folder, args=ocp.args.PyTreeRestore(restore_args=args))
