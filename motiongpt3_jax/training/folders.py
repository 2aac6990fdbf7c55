"""Where the checkpoints of a run lie: RUN/checkpoints/<stage>/<step>, and RUN/checkpoints/base/0 for its base.

Those of a run that mirrors one on a remote store lie on the store.
"""

from pathlib import Path

from motiongpt3_jax.mirror import store_of

BASE = "base"
"""Folder of the parameters with which a run began and which its first stage does not train; no stage has this name."""


def checkpoints_folder(run_dir: str | Path) -> Path:
    """Where the checkpoints of a run's stages lie, as the absolute path that Orbax asks for."""
    run_dir = Path(run_dir).absolute()
    return (store_of(run_dir) or run_dir) / "checkpoints"


def stage_folder(run_dir: str | Path, stage: str) -> Path:
    """Where a stage's checkpoints lie."""
    return checkpoints_folder(run_dir) / stage


def steps_of(run_dir: str | Path, stage: str) -> list[int]:
    """Steps of a stage's checkpoints, rising; none when it never wrote one."""
    return sorted(int(path.name) for path in stage_folder(run_dir, stage).glob("*") if path.name.isdigit())


def last_step(run_dir: str | Path, stage: str) -> int | None:
    """Step of a stage's last checkpoint."""
    return max(steps_of(run_dir, stage), default=None)


def last_folder(run_dir: str | Path, stage: str) -> Path:
    """Folder of a stage's last checkpoint, which it must have."""
    return stage_folder(run_dir, stage) / str(last_step(run_dir, stage))


def stages_of(run_dir: str | Path) -> list[str]:
    """Names of the stages that have a folder of checkpoints, in no order of theirs."""
    folders = checkpoints_folder(run_dir).glob("*")
    return sorted(folder.name for folder in folders if folder.is_dir() and folder.name != BASE)
