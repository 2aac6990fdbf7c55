"""How many worker processes read batches, from the cores of a machine."""

import os
import shutil
import sys
from pathlib import Path

LEAST_CORES = 8
"""Cores from which on processes of their own read batches where no number is asked for."""

MOST = 16
"""Processes that are begun at most where no number is asked for."""

SHARED_MEMORY = Path("/dev/shm")
"""Where processes leave batches for each other."""

LEAST_SHARED = 4 * 2**30
"""Bytes of it that must be free; containers often have 64 MB, and a process that runs out of them is killed."""

COMMAND = "motiongpt3"
"""Name of the command that begins a run."""


def num_workers(requested: int, accelerated: bool) -> int:
    """Worker processes of a data loader; 0 reads in a thread of this process.

    A thread feeds a model on the same CPU, but no accelerator. Processes import the main module again, so none are
    begun unasked from a script, which may have no `if __name__ == "__main__"`.

    Args:
      requested: how many; -1 takes half of the cores that this process may use, up to 16, from eight cores on.
      accelerated: whether an accelerator trains.
    """
    if requested >= 0:
        return requested
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    unfit = not accelerated or cores < LEAST_CORES or _in_script() or _shared_memory() < LEAST_SHARED
    return 0 if unfit else min(cores // 2, MOST)


def _shared_memory() -> float:
    """Free bytes; machines without the folder keep it elsewhere."""
    return shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else float("inf")


def _in_script() -> bool:
    """Whether the main module is a file other than this project's command; a notebook has none."""
    main = sys.modules["__main__"]
    if (spec := getattr(main, "__spec__", None)) is not None:
        return not spec.name.startswith("motiongpt3_jax.")
    return Path(getattr(main, "__file__", None) or COMMAND).stem != COMMAND
