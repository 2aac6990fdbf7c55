"""Orbax checkpoints of what trains: RUN/checkpoints/<stage>/<step>/{params, state, ema, progress, meta}.

They are written while training goes on and appear under their final name in one move, so a half-written one is never
read; the next run clears it away. A damaged one is noticed by its manifest, and the whole one before it is taken.
Frozen parameters are referred to where they lie (`references`), and not written again.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from flax.traverse_util import unflatten_dict

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.parallel import first_does
from motiongpt3_jax.systems.interface import Tree
from motiongpt3_jax.training.arrays import Upgrade, no_upgrade, put_like
from motiongpt3_jax.training.folders import BASE, checkpoints_folder, stage_folder, steps_of
from motiongpt3_jax.training.manifest import FORMAT, damage, format_of, reference_checksums, write_manifest
from motiongpt3_jax.training.partition import matches, merge, paths_of, select
from motiongpt3_jax.training.reading import ReadOutside, read_item, read_references
from motiongpt3_jax.training.references import (
    Reference,
    as_meta,
    check_references,
    refer_to_checkpoint,
    references_of,
)
from motiongpt3_jax.training.stage import Stage
from motiongpt3_jax.training.state import TrainState

PROGRESS = ("step", "optimizer", "key", "tally")
"""Fields of the train state that only training reads."""


def mend_checkpoints(run_dir: str | Path, stages: Sequence[str], say: Callable[[str], None]) -> None:
    """Clears half-written checkpoints away and sets damaged ones aside, so that training goes on from whole ones.

    What a whole one refers to is read too, and is not set aside.

    Args:
      run_dir: the run; nobody else writes to it.
      stages: names of its stages in order. Once one is reached that has a whole checkpoint, those before it are not
        read again.
      say: where a damaged checkpoint is named.

    Raises:
      UserError: what a whole checkpoint refers to is not there as it was.
    """
    for half_written in checkpoints_folder(run_dir).glob("*/*.orbax-checkpoint-tmp*"):
        epath.Path(half_written).rmtree()
    for stage in reversed(stages):
        last = set_damaged_aside(run_dir, stage, say)
        if last is not None:
            return check_references(stage_folder(run_dir, stage) / str(last))


def set_damaged_aside(run_dir: str | Path, stage: str, say: Callable[[str], None]) -> int | None:
    """Renames the damaged checkpoints of a stage; returns the step of the last whole one."""
    folder, last, damaged = stage_folder(run_dir, stage), None, []
    for step in reversed(steps_of(run_dir, stage)):
        # Only the last one is restored; of the others no more than their numbers is used.
        wrong = damage(folder / str(step), items=None if last is None else ())
        if wrong:
            damaged.append((folder / str(step), wrong))
        elif last is None:
            last = step
    for path, wrong in damaged:
        names = (f"damaged-{path.name}{f'-{again}' if again else ''}" for again in count())
        aside = next(folder / name for name in names if not (folder / name).exists())
        epath.Path(path).rename(aside)
        goes_on = (
            f"'{stage}' has a whole one at step {last}" if last is not None else f"'{stage}' has no whole one left"
        )
        say(f"checkpoint {path} is damaged ({wrong}); it is now {aside.name}, and {goes_on}")
    return last


def write_base(run_dir: str | Path, params: Tree) -> tuple[Reference, ...]:
    """Writes what a run began with and its first stage does not train, instead of what is there; refers to it."""
    paths = paths_of(params)
    if not paths:
        return ()
    folder = stage_folder(run_dir, BASE)
    first_does("clear an unused base away", lambda: epath.Path(folder).rmtree(missing_ok=True))
    meta = {"stage": BASE, "step": 0, "items": ["params"], "format": FORMAT}
    written = ocp.AsyncOptions(post_finalization_callback=lambda: _write_manifests(folder, 0, ()))
    options = ocp.CheckpointManagerOptions(create=True, async_options=written)
    with ocp.CheckpointManager(folder, options=options) as manager:
        manager.save(0, args=ocp.args.Composite(params=ocp.args.StandardSave(params), meta=ocp.args.JsonSave(meta)))
        manager.wait_until_finished()
    return (refer_to_checkpoint(folder / "0", paths),)


class Checkpoints:
    """The checkpoints of one stage; a context that waits for what is still being written.

    Attributes:
      references: where the parameters lie that the stage does not train; None until that is known.
    """

    def __init__(
        self,
        run_dir: str | Path,
        stage: Stage,
        place: int = 0,
        order: int = 1,
        upgrade: Upgrade = no_upgrade,
        read_outside: ReadOutside | None = None,
    ) -> None:
        """Opens the checkpoints of a stage.

        Args:
          run_dir: the run.
          stage: the stage.
          place: its number in the run.
          order: version of the order in which its samples come.
          upgrade: the system's, for checkpoints of an older format.
          read_outside: reads what checkpoints refer to outside of the run.
        """
        self.stage, self.place, self.order, self.upgrade, self.read_outside = stage, place, order, upgrade, read_outside
        self.references: tuple[Reference, ...] | None = None
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
                async_options=ocp.AsyncOptions(post_finalization_callback=self._on_files_written),
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

    def save(self, step: int, state: TrainState, validation: Mapping[str, float] | None) -> None:
        """Starts writing a checkpoint, unless the step has one; returns once the arrays are copied."""
        if step == self.latest():
            return
        loss = math.inf if validation is None else validation[self.stage.best]
        self._best_loss = min(self._best_loss, loss)
        items = _items(state)
        meta = {"stage": self.stage.name, "place": self.place, "step": step, "items": sorted(items)}
        meta |= {"trainable": self.stage.trainable, "validation": validation or {}}
        meta |= {"format": FORMAT, "order": self.order, "references": as_meta(self.references or ())}
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

    def restore(self, step: int, state: TrainState, frozen: Tree, stored: Tree) -> tuple[TrainState, Tree]:
        """A checkpoint at the shapes and shardings of the given abstract state and frozen parameters.

        Args:
          step: of the checkpoint.
          state: the abstract state.
          frozen: the frozen parameters as steps take them.
          stored: the same as checkpoints hold them, which is how those of an older format are read: they are written
            again.

        Raises:
          UserError: the stage trains other parameters than when the checkpoint was written, or its samples came in
            another order.
        """
        folder, items = self.folder / str(step), _items(state)
        meta = self._manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta
        if meta["items"] != sorted(items):
            raise UserError(_mismatch(folder, f"{meta['items']}", f"{sorted(items)}"))
        if meta.get("order", 1) != self.order:
            raise UserError(
                f"{folder} was written when samples came in order {meta.get('order', 1)}, and now they come in order "
                f"{self.order}; finish the stage with the version of this program that began it, or start a new run "
                "directory."
            )
        if format_of(meta) < FORMAT:
            return self._restore_older(folder, meta, state, stored)
        self.references = references_of(folder)
        referred = {path for reference in self.references for path in reference.paths}
        self._check_trained(folder, meta, referred == paths_of(frozen))
        args = {name: ocp.args.StandardRestore(tree) for name, tree in items.items()}
        restored = self._manager.restore(step, args=ocp.args.Composite(**args))
        trees = {name: restored.get(name) or {} for name in ("params", "state", "ema")}
        state = state.replace(**trees, **restored["progress"])
        return state, read_references(folder, frozen, self.upgrade, self.read_outside)

    def _restore_older(
        self, folder: Path, meta: Mapping[str, Any], state: TrainState, frozen: Tree
    ) -> tuple[TrainState, Tree]:
        """A checkpoint that holds frozen parameters too, under the paths of its format."""
        older, where = format_of(meta), f"checkpoint {folder}"
        items = {item: read_item(folder / item) for item in meta["items"]}
        trained_paths = [path for path in paths_of(items["params"]) if matches(path, meta["trainable"])]
        trained_paths = paths_of(self.upgrade(older, select(items["params"], trained_paths)))
        self._check_trained(folder, meta, trained_paths == paths_of(state.params))
        whole = put_like(merge(state.params, frozen), self.upgrade(older, items["params"]), where)
        progress = items["progress"]
        progress["optimizer"] = self.upgrade(older, _arrays_by_path(progress["optimizer"]))
        # Sums of numbers that only one of the versions reports start anew.
        progress["tally"] = {name: progress["tally"].get(name, (np.zeros(()), np.zeros(()))) for name in state.tally}
        state = state.replace(
            params=select(whole, trained_paths),
            ema=put_like(state.ema, self.upgrade(older, items.get("ema", {})), where),
            state=put_like(state.state, items.get("state", {}), where),
            **put_like({name: getattr(state, name) for name in PROGRESS}, progress, where),
        )
        return state, select(whole, paths_of(frozen))

    def _check_trained(self, folder: Path, meta: Mapping[str, Any], same: bool) -> None:
        if not same:
            was, now = f"trainable={meta['trainable']}", f"trainable={list(self.stage.trainable)}"
            raise UserError(_mismatch(folder, was, now))

    def wait(self) -> None:
        """Returns when everything is on disk; raises what went wrong in writing."""
        self._manager.wait_until_finished()

    def _on_files_written(self) -> None:
        """Called in the first process when all files of a checkpoint are written, before it gets its final name."""
        _write_manifests(self.folder, self._writing, self.references or ())

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._manager.close()


def _write_manifests(folder: Path, step: int, references: Sequence[Reference]) -> None:
    """Writes the manifest of the checkpoint that is being written."""
    # A store cannot rename, so there it has its name already.
    for place in [*folder.glob(f"{step}.orbax-checkpoint-tmp*")] or [folder / str(step)]:
        write_manifest(place, reference_checksums({"references": as_meta(references)}))


def _items(state: TrainState) -> dict[str, Tree]:
    """What lies in a checkpoint's folders: what inference reads apart from what only training does."""
    progress = {name: getattr(state, name) for name in PROGRESS}
    items = {"params": state.params, "state": state.state, "ema": state.ema, "progress": progress}
    return {name: tree for name, tree in items.items() if jax.tree.leaves(tree)}


def _arrays_by_path(tree: Tree) -> Tree:
    """Orbax's dictionaries and lists as dictionaries of arrays alone: empty places of optimizers are left out."""
    flat = {
        tuple(jax.tree_util.keystr((key,), simple=True) for key in path): x
        for path, x in jax.tree.leaves_with_path(tree)
    }
    return unflatten_dict(flat)


def _mismatch(folder: Path, was: str, now: str) -> str:
    return (
        f"{folder} was written with {was}, the stage now has {now}; continue with the old settings or start a new run "
        "directory."
    )


def _score(metrics: Mapping[str, float]) -> float:
    return metrics["score"]
