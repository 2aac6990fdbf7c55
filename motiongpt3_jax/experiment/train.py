"""Training from Python: prepares a run's folder and trains the stages of a config that are not trained yet."""

import os
import time
from functools import partial
from pathlib import Path

from ml_collections import ConfigDict

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.beginning import beginning, begins_trained, outside_weights
from motiongpt3_jax.experiment.run import Run, check_run, make_run
from motiongpt3_jax.experiment.samples import write_samples
from motiongpt3_jax.mirror import fetch, is_remote, open_mirror, push
from motiongpt3_jax.no_room import no_room_as_sentence
from motiongpt3_jax.parallel import first_does, keep_host_memory
from motiongpt3_jax.parallel.peer_failure import exit_on_peer_failure
from motiongpt3_jax.parallel.product_rate import peak_rate
from motiongpt3_jax.places import require_room
from motiongpt3_jax.training import Hooks, run_lock
from motiongpt3_jax.training import run as run_stages
from motiongpt3_jax.training.folders import steps_of


@exit_on_peer_failure()
def train(
    config: ConfigDict | str | Path,
    workdir: str | Path,
    overrides: tuple[str, ...] = (),
    minutes: dict[str, float] | None = None,
    profile: str | Path | None = None,
) -> Run:
    """Prepares a run's folder and trains what is not trained yet; the same call continues an interrupted run.

    Args:
      config: a config, its name ("motiongpt3:tiny"), or the path of a config file.
      workdir: the run's folder, or its address on a remote store, of which this machine gets a mirror.
      overrides: single values of a config that is named, such as "stages.vae.steps=5000".
      minutes: receives the time of each part.
      profile: folder that gets a trace of a few steps of each stage, for XProf.

    Raises:
      UserError: a value of the config is wrong, or the folder was begun with another.
      TrainingInterrupted: a signal stopped the run, which is saved.
      TrainingDiverged: a loss was not finite.
    """
    if not isinstance(config, ConfigDict):
        config = load_config(os.path.expanduser(config), list(overrides))
    elif overrides:
        raise UserError("overrides go with the name of a config; set the values of a ConfigDict itself")
    profile = traces_folder(profile)
    workdir = open_mirror(os.fspath(workdir)) if is_remote(workdir) else os.path.expanduser(workdir)
    clock = _Clock({} if minutes is None else minutes)
    check_run(config, workdir)
    keep_host_memory()
    with no_room_as_sentence("the run", Path(workdir)), run_lock(workdir):
        run = first_does("prepare the run", partial(_prepare, config, workdir)) or _join(config, workdir)
        stages = run.stages()
        new = not steps_of(workdir, stages[0].name)
        run_stages(
            run.system(),
            stages,
            lambda stage: clock.begin(stage.name) or run.data(stage),
            workdir,
            seed=run.config.seed,
            initial=partial(beginning, run.config, run.folder.spec) if begins_trained(run.config) else None,
            outside=outside_weights(run.config) if new else (),  # what a run began with may be gone when it ends
            mesh=run.mesh(),
            sharding=run.config.mesh.sharding,
            hooks=Hooks(
                samples=partial(write_samples, run, {}),
                profile=profile,
                peak=peak_rate(),
                step_timeout=run.config.mesh.step_timeout,
            ),
        )
    clock.begin("")
    return run


def _prepare(config: ConfigDict, workdir: str | Path) -> Run:
    """What the first process prepares, with what the run's store has, and for it."""
    fetch(Path(workdir))
    run = make_run(config, workdir)
    push(Path(workdir))
    return run


def _join(config: ConfigDict, workdir: str | Path) -> Run:
    """What the others open then."""
    fetch(Path(workdir))
    return make_run(config, workdir)


def traces_folder(path: str | Path | None) -> Path | None:
    """The folder that traces go to; None where none is asked for.

    Raises:
      UserError: it has no name.
      OSError: nothing can be written there.
    """
    if path is None:
        return None
    if not str(path):
        raise UserError("--profile is empty; give a folder")
    folder = Path(os.path.expanduser(path)).absolute()
    require_room("--profile", folder, "a folder")
    return folder


class _Clock:
    """Minutes of each part of a run."""

    def __init__(self, minutes: dict[str, float]) -> None:
        self.minutes, self.name, self.since = minutes, "data", time.monotonic()

    def begin(self, name: str) -> None:
        """Ends the part before and begins the next."""
        now = time.monotonic()
        self.minutes[self.name] = (now - self.since) / 60
        self.name, self.since = name, now
