"""Places on disk that results may be written to."""

import os
from pathlib import Path


def require_room(name: str, path: Path, what: str) -> None:
    """Raises an OSError when nothing can be made or written at a path."""
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if there != path and not there.is_dir():
        raise NotADirectoryError(f"{name} {path}: {there} is a file; give {what} somewhere else")
    if not os.access(there, os.W_OK):
        raise PermissionError(f"{name} {path}: you may not write to {there}; give {what} somewhere else")
