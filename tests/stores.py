"""A remote store for tests: `gs://BUCKET/...` lies in a local folder, with what a store cannot do refused.

Orbax and TensorStore take it for Google Cloud Storage up to the last layer: the requests themselves.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from etils.epath import backend, gpath
from orbax.checkpoint._src.path import gcs_utils


class FakeStore(backend.Backend):
    """Objects as files: no append, no folder that holds nothing, and no move of a folder in one."""

    def __init__(self, root: Path) -> None:
        self.root, self.files = root, backend.os_backend

    def at(self, path: Any) -> str:
        return os.path.join(self.root, os.fspath(path).removeprefix("gs://"))

    def open(self, path: Any, mode: str) -> IO:
        assert not {*mode} & {*"a+"}, "a store cannot append"
        if "w" in mode:
            os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)
        return self.files.open(self.at(path), mode)

    def exists(self, path: Any) -> bool:
        return self.files.exists(self.at(path))

    def isdir(self, path: Any) -> bool:
        return self.files.isdir(self.at(path))

    def listdir(self, path: Any) -> list[str]:
        return self.files.listdir(self.at(path))

    def glob(self, path: Any) -> list[str]:
        return [f"gs://{os.path.relpath(found, self.root)}" for found in self.files.glob(self.at(path))]

    def walk(self, top: Any, **options: Any) -> Iterator[tuple[str, list[str], list[str]]]:
        for folder, folders, files in self.files.walk(self.at(top), **options):
            yield f"gs://{os.path.relpath(folder, self.root)}", folders, files

    def makedirs(self, path: Any, **options: Any) -> None:
        self.files.makedirs(self.at(path), **options)

    def mkdir(self, path: Any, **options: Any) -> None:
        self.files.makedirs(self.at(path), **options)

    def rmtree(self, path: Any) -> None:
        self.files.rmtree(self.at(path))

    def remove(self, path: Any) -> None:
        self.files.remove(self.at(path))

    def rename(self, path: Any, dst: Any) -> None:
        self.files.rename(self.at(path), self.at(dst))

    def replace(self, path: Any, dst: Any) -> None:
        self.files.replace(self.at(path), self.at(dst))

    def copy(self, path: Any, dst: Any, overwrite: bool) -> None:
        self.files.copy(self.at(path), self.at(dst), overwrite)

    def stat(self, path: Any) -> Any:
        return self.files.stat(self.at(path))


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands for `gs://bucket`; mirrors lie in a cache of their own."""
    root = tmp_path / "stores"
    (root / "bucket").mkdir(parents=True)
    store = FakeStore(root)
    monkeypatch.setitem(gpath._PREFIX_TO_BACKEND, "gs", store)
    monkeypatch.setattr(gcs_utils, "is_hierarchical_namespace_enabled", lambda path: False)
    monkeypatch.setattr(gcs_utils, "get_kvstore_for_gcs", lambda path: {"driver": "file", "path": store.at(path)})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return root / "bucket"
