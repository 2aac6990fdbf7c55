"""Several processes of one run: what one does for all, and which devices of its machine belong to each."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import count
from typing import TypeVar

import jax
from orbax.checkpoint import multihost

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.parallel.peer_failure import exit_where_the_runtime_aborts

T = TypeVar("T")

PATIENCE = timedelta(hours=12)
"""How long processes wait for what the first one does: it may convert a data set."""

HEARTBEAT = 30
"""Seconds after which a process that is heard no more counts as dead; then the others end."""

SHUTDOWN = 300
"""Seconds that a process at its end waits for the others; one that dies meanwhile is noticed by its heartbeat."""

DONE = "done"
"""Stands for a success where otherwise an error's sentence does."""

_CALLS = count()


def initialize_distributed(
    address: str | None = None, count: int | None = None, index: int | None = None, devices: Sequence[int] | None = None
) -> None:
    """`jax.distributed.initialize`, where the death of one process ends the others within half a minute.

    Args:
      address: host and port of the first process; this and the next two are found by JAX when not given.
      count: how many processes there are.
      index: which of them this is.
      devices: numbers of this process's devices on its machine; JAX's choice when not given.
    """
    jax.distributed.initialize(
        address,
        count,
        index,
        devices,
        heartbeat_timeout_seconds=HEARTBEAT,
        shutdown_timeout_seconds=SHUTDOWN,
    )
    exit_where_the_runtime_aborts()


def first_does(what: str, action: Callable[[], T]) -> T | None:
    """The first process does something while the others wait; they get None, or its error in one sentence.

    They wait at JAX's coordination service: a collective of devices would run out of time within seconds on some
    backends.

    Args:
      what: names it in errors.
      action: done in the first process.

    Raises:
      UserError: in the others, when the action failed.
    """
    if jax.process_count() == 1:
        return action()
    client, key = multihost.get_jax_distributed_client(), f"motiongpt3_jax/first_does/{next(_CALLS)}"
    if jax.process_index():
        outcome = client.blocking_key_value_get(key, int(PATIENCE.total_seconds() * 1000))
        if outcome != DONE:
            raise UserError(f"process 0 could not {what}: {outcome}")
        return None
    outcome = "it was stopped"
    try:
        result = action()
        outcome = DONE
        return result
    except (UserError, OSError) as error:
        outcome = str(error)
        raise
    finally:
        client.key_value_set(key, outcome)


def node_gpus(environment: Mapping[str, str]) -> list[int] | None:
    """Numbers of all GPUs of a Slurm node where its only task runs; None leaves the choice to JAX.

    JAX gives each task of a Slurm job one GPU, the one with the task's number on its node.

    Args:
      environment: the variables that Slurm sets.
    """
    tasks = environment.get("SLURM_STEP_TASKS_PER_NODE", "")
    gpus = environment.get("SLURM_GPUS_ON_NODE", "")
    if not re.fullmatch(r"1(\(x\d+\))?", tasks) or not gpus.isdigit():
        return None
    return list(range(int(gpus)))
