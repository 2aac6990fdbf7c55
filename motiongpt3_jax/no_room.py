"""Out of memory and full disks, of devices and of the machine, as one sentence: what, where, what to do."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from motiongpt3_jax.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says of a disk, or a share of one, that takes no more."""

CONTINUE = "Nothing that was saved is lost: the same command continues."


class NoRoomError(UserError):
    """A disk is full, or memory is; the same command goes on once there is room."""


@contextmanager
def no_room_as_sentence(what: str, folder: Path) -> Iterator[None]:
    """Raises `NoRoomError` where the block ends because something has no room; other errors pass as they are.

    Args:
      what: names what the block does, as "stage 'tune'".
      folder: what is written to, where an error does not name it.
    """
    try:
        yield
    except Exception as error:
        sentence = sentence_of(error, what, folder)
        if sentence is None or isinstance(error, NoRoomError):
            raise
        raise NoRoomError(sentence) from error


def sentence_of(error: Exception, what: str, folder: Path) -> str | None:
    """What has no room, and what to do; None where the error is another."""
    message = str(error)
    if _is_full_disk(error):
        name = getattr(error, "filename", None)
        place = Path(os.fsdecode(name)) if isinstance(name, str | bytes) else folder
        return (
            f"the disk of {place} is full{_free(place)}, so {what} stopped. Make room, or move the folder to another "
            f"disk. {CONTINUE}"
        )
    first = next(iter(message.splitlines()), "")
    if isinstance(error, MemoryError):
        return (
            f"this machine has no memory left for {what}{f' ({first})' if first else ''}. Give batches fewer rows or "
            f"data fewer workers, or take a machine with more. {CONTINUE}"
        )
    if isinstance(error, RuntimeError) and ("RESOURCE_EXHAUSTED" in message or "CUDA_ERROR_OUT_OF_MEMORY" in message):
        return (
            f"the devices have no memory left for {what} ({first}). Give batches fewer rows, compute them in more "
            "micro-batches (optimizer.accumulate), keep less for the backward pass (remat) or split parameters over "
            f"more devices (mesh.fsdp); `motiongpt3 plan` tells what each takes. {CONTINUE}"
        )
    return None


def _is_full_disk(error: Exception) -> bool:
    """Whether an error is that of a full disk; some libraries keep no more of it than its words."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return any(os.strerror(number) in str(error) for number in FULL)


def _free(place: Path) -> str:
    there = next((parent for parent in (place, *place.absolute().parents) if parent.exists()), None)
    if there is None:
        return ""
    usage = shutil.disk_usage(there)
    return f" ({usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB free)"
