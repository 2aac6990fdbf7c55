"""Restoring a run's variables for inference: from any of its checkpoints, with the frozen ones that it refers to.

A damaged checkpoint is left where it is, and the one before it (or the next best) is taken.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from motiongpt3_jax.systems.interface import Tree, Variables
from motiongpt3_jax.training.arrays import Upgrade, no_upgrade
from motiongpt3_jax.training.folders import checkpoints_folder, stages_of, steps_of
from motiongpt3_jax.training.manifest import MANIFEST, Unreadable, damage, read_json
from motiongpt3_jax.training.partition import merge, select
from motiongpt3_jax.training.reading import ReadOutside, read_from_outside, read_item, read_whole
from motiongpt3_jax.training.references import check_references, references_of


def note(line: str) -> None:
    """Says a line beside the results."""
    print(line, file=sys.stderr, flush=True)


def restore_variables(
    run_dir: str | Path,
    stage: str | None = None,
    which: Literal["last", "best"] = "last",
    ema: bool = True,
    say: Callable[[str], None] = note,
    upgrade: Upgrade = no_upgrade,
    read_outside: ReadOutside | None = None,
) -> tuple[str, int, Variables]:
    """Restores (stage, step, variables) of a run as numpy arrays, whatever devices wrote them.

    What `read_outside` gives stays what it is.

    Args:
      run_dir: the run.
      stage: the stage; the last that the run reached when not given.
      which: the last checkpoint, or the one with the best validation.
      ema: take the moving average of what has one.
      say: where it is said that a checkpoint is damaged, or has no manifest.
      upgrade: the system's, for checkpoints of an older format.
      read_outside: reads parameters that the run's checkpoints refer to outside of the run.

    Raises:
      FileNotFoundError: there is no such checkpoint, or none is whole.
      UserError: what the checkpoint refers to is not there as it was.
    """
    root = checkpoints_folder(run_dir)
    steps_by_stage = [(name, steps_of(run_dir, name)) for name in ([stage] if stage else stages_of(run_dir))]
    steps_by_stage = [(name, steps) for name, steps in steps_by_stage if steps]
    if not steps_by_stage:
        raise FileNotFoundError(
            f"no checkpoint of {f'stage {stage!r}' if stage else 'any stage'} in {root}; train first."
        )
    damaged = []
    for name, steps in sorted(steps_by_stage, key=lambda item: _place(root / item[0], item[1]), reverse=True):
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
            return name, step, _variables(folder, ema, upgrade, read_outside)
    raise FileNotFoundError(f"{damaged[0]}, and no other one is whole; train again.")


def restore_params(
    run_dir: str | Path, stage: str | None = None, which: Literal["last", "best"] = "last", ema: bool = True
) -> tuple[str, int, Tree]:
    """`restore_variables` for systems whose variables are parameters alone."""
    name, step, variables = restore_variables(run_dir, stage, which, ema)
    return name, step, variables.params


def _variables(checkpoint: Path, ema: bool, upgrade: Upgrade, read_outside: ReadOutside | None) -> Variables:
    """The variables of one whole checkpoint; with `ema`, the moving average of what has one.

    Raises:
      UserError: what it refers to is not there as it was.
    """
    check_references(checkpoint)
    params = read_whole(checkpoint, "params", upgrade)
    for reference in references_of(checkpoint):
        folder = reference.folder(checkpoint)
        if reference.outside:
            more = select(read_from_outside(checkpoint, folder, read_outside), reference.paths)
        else:
            more = read_whole(folder, "params", upgrade, reference.paths)
        params = merge(params, more)
    if ema:
        params = merge(read_whole(checkpoint, "ema", upgrade), params)
    return Variables(params, read_item(checkpoint / "state"))


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
