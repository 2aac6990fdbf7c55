"""Tests that need more than `make test` installs carry a marker; the others do not see what an extra brings.

`make test-torch` runs the tests marked `torch`, in an environment with PyTorch, and `make test-all` those marked `gcs`
there; elsewhere they are skipped. While any other test runs or is collected, packages of extras cannot be found, also
where they are installed or were imported before, so a test that needs one fails on every machine; so does one that
skips itself for want of one. What a subprocess imports is not hidden: such a test fails where the extra is not
installed, as with `make test`.
"""

import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

import pytest

PACKAGES = {
    "torch": "torch",
    "tensorflow": "tensorflow",
    "peft": "peft",
    "gcsfs": "gcsfs",
    "google-cloud-storage": "google.cloud.storage",
    "gcp-storage-emulator": "gcp_storage_emulator",
}
"""What only tests with a marker see: packages of extras, and those that libraries use where they find them, each with
the module that it brings."""

NEEDS_TORCH = "needs PyTorch: `make test-torch` runs it, in an environment of its own"
NEEDS_GCS = "needs gcsfs, google-cloud-storage and gcp-storage-emulator: `make test-all` installs them and runs it"
MARKERS = {
    "torch": (("torch",), NEEDS_TORCH),
    "gcs": (("gcsfs", "google.cloud.storage", "gcp_storage_emulator"), NEEDS_GCS),
}
"""For each marker the modules without which its tests are skipped, and what the skip says."""

# As a word of its own: a path that holds the name is none.
WORDS = "|".join(re.escape(word) for word in {*PACKAGES, *PACKAGES.values(), "pytorch"})
NAMED = re.compile(rf"(?<![\w/\\.-])({WORDS})(?![\w/\\-])", re.IGNORECASE)
MARKED_MODULE = re.compile(rf"^pytestmark = .*\bmark\.({'|'.join(MARKERS)})\b", re.MULTILINE)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # A package that would hold it is missing.
        return False


def torch_module() -> ModuleType:
    """PyTorch for a module all of whose tests need it; skips the module where it is not installed."""
    if not _installed("torch"):
        pytest.skip(NEEDS_TORCH, allow_module_level=True)
    return importlib.import_module("torch")


def _of_an_extra(module: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in PACKAGES.values())


@contextmanager
def hidden() -> Iterator[None]:
    """Within, packages of extras are neither found nor taken from `sys.modules`."""
    original = PathFinder.__dict__["find_spec"]
    find = PathFinder.find_spec

    def find_spec(name: str, *arguments: Any, **options: Any) -> ModuleSpec | None:
        return None if _of_an_extra(name) else find(name, *arguments, **options)

    # Thousands of modules are looked through only where there is one of them.
    there = any(package in sys.modules for package in PACKAGES.values())
    imported = {name: sys.modules.pop(name) for name in [*sys.modules] if _of_an_extra(name)} if there else {}
    PathFinder.find_spec = staticmethod(find_spec)
    try:
        yield
    finally:
        PathFinder.find_spec = original
        sys.modules.update(imported)


def _around(node: pytest.Item | pytest.Collector) -> AbstractContextManager[None]:
    """What a test runs in or a module is collected in; a module's marker is read before its imports are run."""
    if isinstance(node, pytest.Module):
        marked = bool(MARKED_MODULE.search(node.path.read_text(encoding="utf-8")))
    else:
        marked = isinstance(node, pytest.Item) and any(node.get_closest_marker(name) for name in MARKERS)
    return nullcontext() if marked else hidden()


def _judged(report: pytest.TestReport | pytest.CollectReport) -> pytest.TestReport | pytest.CollectReport:
    """The report itself; a skip that names an extra, and is not ours of tests with the marker, has failed."""
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    ours = any(sentence in reason for _, sentence in MARKERS.values())
    if NAMED.search(reason) and not ours and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped for want of an extra, which takes a marker (tests/extras.py): {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Modules are imported without what extras bring, unless all of their tests carry the marker."""
    with _around(collector):
        report = yield
    return _judged(report)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Tests run without what extras bring, their fixtures of any scope too, unless they carry the marker."""
    with _around(item):
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests with a marker are skipped where its modules are not installed."""
    for name, (modules, sentence) in MARKERS.items():
        if item.get_closest_marker(name) and not all(map(_installed, modules)):
            pytest.skip(sentence)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A test that skips itself for want of an extra has failed."""
    return _judged((yield))
