"""Tests that need an extra are found out, even where it is installed: a stand-in for PyTorch lies beside them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.extras import NEEDS_TORCH, PACKAGES
from tests.test_house import declared

HERE = Path(__file__).resolve().parents[1]

TESTS = """
import importlib.util, sys
import pytest

def test_plain():
    assert importlib.util.find_spec("torch") is None
    assert "torch" not in sys.modules

def test_skips_for_another_reason():
    pytest.skip("no file at /home/torch/pytorch-models/a.npz")

@pytest.mark.torch
def test_marked():
    import torch.nn

def test_imports():
    import torch

def test_imports_after_a_marked_test():
    import torch.nn

def test_skips_itself():
    pytest.importorskip("torch")

def test_skips_itself_for_a_store():
    pytest.importorskip("gcsfs")

def test_skips_itself_with_words():
    pytest.importorskip("torch", reason="PyTorch is not here")

@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="without torch")
def test_is_skipped():
    pass

@pytest.fixture(scope="module")
def borrowed():
    return pytest.importorskip("torch")

def test_has_a_fixture_that_skips(borrowed):
    pass
"""
MODULES = {
    "test_functions.py": TESTS,
    "test_module_imports.py": "import torch\ndef test_nothing(): pass\n",
    "test_module_skips.py": "import pytest\ntorch = pytest.importorskip('torch')\ndef test_nothing(): pass\n",
    "test_module_marked.py": """
import pytest
from tests.extras import torch_module
pytestmark = pytest.mark.torch
torch = torch_module()
def test_marked_module():
    import torch.nn
""",
}
HOLDS = {"plain": "PASSED", "skips_for_another_reason": "SKIPPED"}
MARKED = ("marked", "marked_module")
VIOLATIONS = (
    "imports",
    "imports_after_a_marked_test",
    "skips_itself",
    "skips_itself_for_a_store",
    "skips_itself_with_words",
    "is_skipped",
    "has_a_fixture_that_skips",
)


@pytest.fixture(scope="module", params=["installed", "not installed"])
def outcomes(request, tmp_path_factory):
    """(whether the stand-in is installed, outcome of every test and module by name, all output) of a pytest run."""
    folder = tmp_path_factory.mktemp("planted")
    for name, text in MODULES.items():
        (folder / name).write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = torch\n")
    if request.param == "installed":
        (folder / "there" / "torch").mkdir(parents=True)
        for name in ("__init__.py", "nn.py"):
            (folder / "there" / "torch" / name).write_text("")
    else:  # The real one may be.
        (folder / "conftest.py").write_text("import sys\nsys.modules['torch'] = None\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-v",
            "-rs",
            "-p",
            "tests.extras",
            "--continue-on-collection-errors",
            str(folder),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(folder / "there")]), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    found = dict(re.findall(r"::test_(\w+) (\w+)", done.stdout))
    found |= {name: "ERROR" for name in re.findall(r"ERROR collecting test_(\w+)\.py", done.stdout)}
    return request.param == "installed", found, done.stdout


def test_tests_without_need_are_left_alone(outcomes):
    _, found, out = outcomes
    assert {name: found.get(name) for name in HOLDS} == HOLDS, out


@pytest.mark.parametrize("name", MARKED)
def test_a_test_with_the_marker_runs_where_pytorch_is_and_says_how_to_run_it_elsewhere(outcomes, name):
    installed, found, out = outcomes
    assert found.get(name, "SKIPPED") == ("PASSED" if installed else "SKIPPED"), out
    assert (NEEDS_TORCH in out) == (not installed), out


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_test_that_needs_an_extra_without_the_marker_fails_also_where_it_is_installed(outcomes, name):
    _, found, out = outcomes
    assert found.get(name) in ("FAILED", "ERROR"), out


@pytest.mark.parametrize("name", ["module_imports", "module_skips"])
def test_a_module_that_needs_an_extra_without_the_marker_fails_also_where_it_is_installed(outcomes, name):
    _, found, out = outcomes
    assert found.get(name) == "ERROR", out


def test_every_extra_that_setup_py_declares_is_watched():
    groups = declared()
    asked = {name for extra, names in groups.items() if extra not in ("", "dev") for name in names}
    assert asked - {*groups[""]} <= {*PACKAGES}
