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
    path = Path(path)
    if path.suffix.lower() != extension:
        raise ValueError(
            f"cannot write '{path}': this picture is a {extension} file; name it '{path.stem}{extension}'."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays last: encoders choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{extension}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
