"""What the processes of a run are doing, told to each other through JAX's coordination service."""

from contextlib import suppress

import jax
from orbax.checkpoint import multihost

FOLDER = "motiongpt3_jax/doing"


class Announcements:
    """One word of each process, which all can read.

    A service that cannot be reached is no error here: JAX ends the process then.
    """

    def __init__(self) -> None:
        self._client, self._key = multihost.get_jax_distributed_client(), f"{FOLDER}/{jax.process_index()}"

    def write(self, doing: str) -> None:
        """Announces what this process is doing."""
        with suppress(jax.errors.JaxRuntimeError):
            self._client.key_value_set(self._key, doing, allow_overwrite=True)

    def read(self) -> list[str]:
        """What each process announced last."""
        with suppress(jax.errors.JaxRuntimeError):
            return [doing for _, doing in self._client.key_value_dir_get(FOLDER)]
        return []
