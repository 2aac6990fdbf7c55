"""A lease instead of a file lock, for remote stores: whoever holds it renews it, and one that nobody renews is free.

No clocks are compared: who wants the lease watches whether it changes. Two that take a free one at the same moment both
write it, and the one whose writing was overwritten gives up.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType

from etils import epath

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.parallel.peer_failure import leave
from motiongpt3_jax.statuses import WRONG_INPUT

LEASE = "train.lease"

RENEWED = 15.0
"""Seconds between two renewals."""

EXPIRES = 60.0
"""Seconds without a renewal after which a lease is free."""

SETTLES = 2.0
"""Seconds until whatever was written at the same moment is seen."""


class Lease:
    """A lease on a folder of a store, held and renewed by a thread while it is entered.

    Args:
      folder: the folder.
      sleep: waits so many seconds.
      clock: seconds.
      end: ends the process with a status and a sentence, where the lease was lost.
    """

    def __init__(
        self,
        folder: epath.Path,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[int, str], None] = leave,
    ) -> None:
        self._folder, self._path, self._sleep, self._clock, self._end = folder, folder / LEASE, sleep, clock, end
        self._holder, self._count = f"process {os.getpid()} on {socket.gethostname()}", 0
        self._token, self._renewed = uuid.uuid4().hex, clock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def acquire(self) -> None:
        """Takes the lease, once nobody has renewed it for `EXPIRES` seconds.

        Raises:
          UserError: another process renews it.
        """
        found, since = self._read(), self._clock()
        while found and self._clock() - since < EXPIRES:
            self._sleep(RENEWED / 3)
            now = self._read()
            if now and now != found:
                raise UserError(
                    f"{self._folder} is being trained already ({now.get('holder', 'another process')}); wait for its "
                    "end, stop it, or take another folder."
                )
            found = now
        self._write()
        self._sleep(SETTLES)
        if not self._is_mine():
            raise UserError(f"{self._folder} was taken by another process at the same moment; take another folder.")

    def renew(self) -> None:
        """Writes the lease again; ends the process where another one holds it by now."""
        try:
            mine = self._read().get("token", self._token) == self._token
            if mine:
                self._write()
        except Exception:  # the store cannot be reached for a while; its library says so in any way
            mine = self._clock() - self._renewed < EXPIRES
        if not mine:
            self._end(
                WRONG_INPUT,
                f"{self._folder} is held by another process, as this one could not renew its lease for "
                f"{EXPIRES:g} s; what it saved until then stays.",
            )

    def _is_mine(self) -> bool:
        return self._read().get("token") == self._token

    def _read(self) -> dict[str, object]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self) -> None:
        self._count += 1
        self._folder.mkdir(parents=True, exist_ok=True)
        content = {"holder": self._holder, "token": self._token, "renewals": self._count}
        self._path.write_text(json.dumps(content), encoding="utf-8")
        self._renewed = self._clock()

    def _keep(self) -> None:
        while not self._closed.wait(RENEWED):
            self.renew()

    def __enter__(self) -> "Lease":
        self.acquire()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closed.set()
        self._thread.join()
        if self._is_mine():
            self._path.unlink(missing_ok=True)
