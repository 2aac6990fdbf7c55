"""How commands that train end: one sentence, and a status that schedulers can go by."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from motiongpt3_jax.training import TrainingDiverged, TrainingInterrupted, stop_at_sigterm


@contextmanager
def exit_as_training_ends() -> Iterator[None]:
    """Training that a signal stopped ends the program with `statuses.CONTINUES`, one that diverged with `FAILED`.

    SIGTERM before the first step counts too.
    """
    try:
        with stop_at_sigterm():
            yield
    except (TrainingInterrupted, TrainingDiverged) as stopped:
        print(f"motiongpt3: {stopped}", file=sys.stderr)
        sys.exit(stopped.status)
