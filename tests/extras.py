"""Tests that need more than `make test` installs carry a marker; the others do not see what an extra brings.

`make test-torch` runs the tests marked `torch`, in an environment with PyTorch; elsewhere they are skipped. While any
other test runs or is collected, packages of extras cannot be found, also where they are installed or were imported
before, so a test that needs one fails on every machine; so does one that skips itself for want of one. What a
subprocess imports is not hidden: such a test fails where the extra is not installed, as with `make test`.
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

PACKAGES = ("torch", "tensorflow", "peft")
"""What only tests with a marker see: packages of extras, and those that libraries use where they find them."""

NEEDS_TORCH = "needs PyTorch: `make test-torch` runs it, in an environment of its own"

# As a word of its own: a path that holds the name is none.
NAMED = re.compile(rf"(?<![\w/\\.-])({'|'.join(PACKAGES)}|pytorch)(?![\w/\\-])", re.IGNORECASE)
MARKED_MODULE = re.compile(r"^pytestmark = .*\bmark\.torch\b", re.MULTILINE)


def torch_module() -> ModuleType:
    """PyTorch for a module all of whose tests need it; skips the module where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip(NEEDS_TORCH, allow_module_level=True)
    return importlib.import_module("torch")


def _of_an_extra(module: str) -> bool:
    return module.partition(".")[0] in PACKAGES


@contextmanager
def hidden() -> Iterator[None]:
    """Within, packages of extras are neither found nor taken from `sys.modules`."""
    original = PathFinder.__dict__["find_spec"]
    find = PathFinder.find_spec

    def find_spec(name: str, *arguments: Any, **options: Any) -> ModuleSpec | None:
        return None if _of_an_extra(name) else find(name, *arguments, **options)

    # Thousands of modules are looked through only where there is one of them.
    there = any(package in sys.modules for package in PACKAGES)
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
        marked = isinstance(node, pytest.Item) and node.get_closest_marker("torch") is not None
    return nullcontext() if marked else hidden()


def _judged(report: pytest.TestReport | pytest.CollectReport) -> pytest.TestReport | pytest.CollectReport:
    """The report itself; a skip that names an extra, and is not ours of tests with the marker, has failed."""
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    if NAMED.search(reason) and NEEDS_TORCH not in reason and not hasattr(report, "wasxfail"):
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
    """Tests against PyTorch are skipped where it is not installed."""
    if item.get_closest_marker("torch") and importlib.util.find_spec("torch") is None:
        pytest.skip(NEEDS_TORCH)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A test that skips itself for want of an extra has failed."""
    return _judged((yield))
