"""Files that are either whole or absent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | Path, extension: str) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` when the block ends without an error.

    Args:
      path: the file to write; its folder is made if needed.
      extension: the ending it must have, e.g. ".gif".

    Raises:
      ValueError: `path` has another ending.
    """
    path = _with_ending(path, extension)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays last: encoders choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{extension}")
    try:
        with failures_of(path, temporary):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def failures_of(path: Path, temporary: Path) -> Iterator[None]:
    """Lets a write that fails name what was to be written: a full disk names nothing, or the temporary file.

    Raises:
      OSError: of the same kind; those about other files pass as they are.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None and not str(error.filename).startswith(str(temporary)):
            raise
        reason = error.strerror or str(error)
        if "requested and" in reason:  # how NumPy counts what a full disk did not take
            reason = "not all of it could be written; is the disk full?"
        raise type(error)(f"cannot write '{path}': {reason}") from error


def one_each(path: str | Path, extension: str, persons: int) -> list[Path]:
    """Where the persons of a motion go if a file holds one: `path` itself for one, numbers from 1 before the ending.

    Args:
      path: the name for a single person.
      extension: the ending, which stays last, e.g. ".bvh".
      persons: how many there are.

    Raises:
      ValueError: `path` has another ending.
    """
    path = _with_ending(path, extension)
    if persons == 1:
        return [path]
    stem = path.name[: -len(extension)]
    return [path.with_name(f"{stem}_{number}{extension}") for number in range(1, persons + 1)]


def _with_ending(path: str | Path, extension: str) -> Path:
    path = Path(path)
    if not path.name.lower().endswith(extension.lower()):
        raise ValueError(
            f"cannot write '{path}': what is written is a {extension} file; name it '{path.stem}{extension}'."
        )
    return path
