"""Runs, models and clips on remote stores (gs://, s3://): small files in a local mirror, checkpoints where they lie.

A store has no locks, cannot append, and libraries for tokenizers, records and TensorBoard do not read it. So a run's
folder there has a mirror on each machine, in the user's cache. It holds everything but the checkpoints, which Orbax
writes to the store itself, is fetched when a run begins or goes on, and pushed before every checkpoint: whatever
belongs to a checkpoint is in the store before it is.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from etils import epath

from motiongpt3_jax.errors import UserError

STORES = {"gs": ("gcsfs", "google-cloud-storage"), "s3": ("s3fs",)}
"""Stores by the scheme of their addresses, and the packages that reach them."""

CHECKPOINTS = ("gs",)
"""Stores that Orbax writes checkpoints to; from the others models and clips are read."""

REMOTE = ".store"
"""The file of a mirror that says where the folder lies."""

APART = ("checkpoints", "train.lock", "train.lease")
"""What is not mirrored."""


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is the address of something on a remote store."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", os.fspath(path)) is not None


def open_mirror(address: str, use: str = "run") -> Path:
    """The local mirror of a folder on a store, empty where nothing was fetched yet.

    Args:
      address: of the folder.
      use: what for; a run has one mirror that it writes, and another one for those who read it meanwhile.

    Raises:
      UserError: nothing reaches such a store from here.
    """
    store = _check(address, use)
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "motiongpt3_jax" / "mirrors"
    folder = home / use / f"{store.name}-{hashlib.sha256(str(store).encode()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / REMOTE, str(store).encode())
    return folder


def store_of(folder: Path) -> epath.Path | None:
    """Where the folder lies that a local one mirrors; None of any other."""
    try:
        return epath.Path((Path(folder) / REMOTE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None


def local_folder(path: str | os.PathLike[str]) -> Path:
    """A folder as a local one: the mirror, fetched now, of one on a store.

    Raises:
      FileNotFoundError: the store has none of this name.
      UserError: nothing reaches such a store from here.
    """
    if not is_remote(path):
        return Path(os.path.expanduser(path))
    folder = open_mirror(os.fspath(path), "read")
    if not store_of(folder).exists():
        raise FileNotFoundError(f"there is nothing at {os.fspath(path)}")
    fetch(folder)
    return folder


def fetch(folder: Path) -> None:
    """Makes a mirror like the folder on its store; of any other folder it does nothing.

    Files with the same time and size are left alone.
    """
    store = store_of(folder)
    if store is None:
        return
    names = dict(_files(store)) if store.exists() else {}
    for path in sorted(folder.rglob("*"), reverse=True):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            with suppress(OSError):  # it is not empty
                path.rmdir()
        elif name not in names and name != REMOTE and name.split("/")[0] not in APART:
            path.unlink(missing_ok=True)
    for name, path in names.items():
        there = folder / name
        if not _alike(there, path):
            _replace(there, path.read_bytes())
            _take_time(there, path)
        _PUSHED[there] = _stamp(there)


def push(folder: Path) -> None:
    """Brings into the store what is new in its mirror, or has changed; of any other folder it does nothing."""
    store = store_of(folder)
    if store is None:
        return
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        # What begins with a dot is being written.
        if not path.is_file() or name.parts[0] in APART or any(part.startswith(".") for part in name.parts):
            continue
        stamp = _stamp(path)
        if _PUSHED.get(path) != stamp:
            there = store / name.as_posix()
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(path.read_bytes())
            _take_time(path, there)
            _PUSHED[path] = _stamp(path)


_PUSHED: dict[Path, tuple[int, int]] = {}
"""Time and size of each file as it was fetched or pushed last."""


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _alike(path: Path, there: epath.Path) -> bool:
    """Whether a file of a mirror has the time and size of that on the store."""
    if not path.is_file():
        return False
    local, remote = path.stat(), there.stat()
    return (int(local.st_mtime), local.st_size) == (remote.mtime, remote.length) and remote.mtime > 0


def _take_time(path: Path, there: epath.Path) -> None:
    """Gives a file the time of that on the store, of which it is a copy now."""
    time = there.stat().mtime
    os.utime(path, (time, time))


def _files(store: epath.Path, inside: str = "") -> Iterator[tuple[str, epath.Path]]:
    """The files of a folder on a store that are mirrored, by their names in it."""
    for path in store.iterdir():
        name = f"{inside}{path.name}"
        if name in APART:
            continue
        if path.is_dir():
            yield from _files(path, f"{name}/")
        else:
            yield name, path


def _replace(path: Path, content: bytes) -> None:
    """Writes a file that other processes of this machine may be reading or writing too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(content)
    os.replace(fresh, path)


def _check(address: str, use: str) -> epath.Path:
    """An address that can be reached, and used so."""
    scheme, _, rest = address.partition("://")
    if scheme not in STORES or not rest.strip("/"):
        known = " and ".join(f"{name}://BUCKET/FOLDER" for name in STORES)
        raise UserError(f"{address} is on no store that is known: give a local folder, or {known}")
    if use == "run" and scheme not in CHECKPOINTS:
        able = " and ".join(f"{name}://" for name in CHECKPOINTS)
        raise UserError(f"{address} cannot hold checkpoints: Orbax writes them to local folders and {able} alone")
    store = epath.Path(address.rstrip("/"))
    try:
        store.exists()
    except ImportError as error:
        packages = " ".join(STORES[scheme])
        raise UserError(f"{address} cannot be reached from here ({error}); pip install {packages}") from None
    return store
