"""An advisory file lock: only one training at a time works on a run's folder. On a remote store it is a lease."""

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import jax

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.mirror import store_of
from motiongpt3_jax.parallel import first_does
from motiongpt3_jax.training.lease import Lease

try:
    import fcntl
except ImportError:  # Windows has another kind of lock; there nothing is locked.
    fcntl = None

LOCK = "train.lock"

_LOCKS: dict[Path, tuple[int, bool, Lease | None]] = {}
"""Of each folder that this process has locked: the lock's descriptor, whether the folder was made for it, and the lease
where it mirrors one on a store."""


@contextmanager
def run_lock(run_dir: str | Path) -> Iterator[None]:
    """Holds RUN/train.lock while it is entered; the system lets go of it when the process dies, however it dies.

    Of several processes the first one holds it for all. Entered again in the same process, it does nothing.

    Raises:
      UserError: another process holds it.
    """
    run_dir = Path(run_dir).resolve()
    if run_dir in _LOCKS or fcntl is None:
        yield
        return
    first_does("lock the run's folder", partial(_acquire, run_dir))
    try:
        yield
    finally:
        if jax.process_index() == 0:
            _release(run_dir)


def _acquire(run_dir: Path) -> None:
    if run_dir.exists() and not run_dir.is_dir():
        raise NotADirectoryError(f"--workdir {run_dir}: a file stands there; give a folder")
    is_new = not run_dir.exists()
    run_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(run_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        # A lock of the process: children that it forks do not inherit it, so it dies with the process alone.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            os.close(descriptor)
            raise UserError(
                f"{run_dir} is being trained already{f' ({holder})' if holder else ''}; wait for its end, stop it, or "
                "take another folder."
            ) from None
        print(f"note: {run_dir} cannot be locked ({error.strerror}); train there once at a time", file=sys.stderr)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    store = store_of(run_dir)
    lease = Lease(store) if store else None
    try:
        if lease:
            lease.__enter__()
    except BaseException:
        os.close(descriptor)
        raise
    _LOCKS[run_dir] = descriptor, is_new, lease


def _release(run_dir: Path) -> None:
    """Lets go; a folder that was made for the lock, and in which nothing was written, goes with it."""
    descriptor, is_new, lease = _LOCKS.pop(run_dir)
    if lease:
        lease.__exit__(None, None, None)
    if is_new and [path.name for path in run_dir.iterdir()] == [LOCK]:
        (run_dir / LOCK).unlink()
        run_dir.rmdir()
    os.close(descriptor)
