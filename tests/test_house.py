"""What holds for the code as a whole: who may import whom, and that what is imported is declared."""

import ast
import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]
PARTS = {"motiongpt3_jax": "motiongpt3_jax", "configs": "motiongpt3_jax/configs"}
PARTS["data_pipelines"] = "motiongpt3_jax/data_pipelines"

LINT = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"

VIOLATIONS = {
    "the ground imports a system": ("motion/planted.py", "import motiongpt3_jax.systems.interface"),
    "the ground imports its neighbour": ("diffusion/planted.py", "import motiongpt3_jax.models"),
    "the batch imports the ground": ("batch.py", "import motiongpt3_jax.motion"),
    "a system imports training": ("systems/planted.py", "import motiongpt3_jax.training"),
    "a system imports data": ("systems/planted_too.py", "import motiongpt3_jax.data_pipelines"),
    "training imports a command": ("training/planted.py", "import motiongpt3_jax.commands"),
    "training imports a system": ("training/planted_too.py", "import motiongpt3_jax.systems.motiongpt3"),
    "inference imports a system": ("inference/planted.py", "import motiongpt3_jax.systems.motiongpt3"),
    "a command imports a system": ("commands/planted.py", "import motiongpt3_jax.systems.motiongpt3.layout"),
    "import and export import a system": ("interop/planted.py", "import motiongpt3_jax.systems.motiongpt3"),
    "the interface imports a system": ("systems/interface.py", "import motiongpt3_jax.systems.motiongpt3"),
    "language models import a system": (
        "systems/language_models/planted.py",
        "import motiongpt3_jax.systems.motiongpt3",
    ),
    "what systems share imports one of them": (
        "systems/motion_codes/planted.py",
        "import motiongpt3_jax.systems.motiongpt",
    ),
    "inference imports import and export": ("inference/planted_too.py", "import motiongpt3_jax.interop"),
    "training imports inference": ("training/planted_three.py", "import motiongpt3_jax.inference"),
    "an experiment imports a command": ("experiment/planted.py", "import motiongpt3_jax.commands.train"),
    "data imports a model": ("data_pipelines/planted.py", "import motiongpt3_jax.models"),
    "data imports JAX": ("data_pipelines/planted_too.py", "import jax"),
    "a config imports training": ("configs/planted.py", "import motiongpt3_jax.training"),
}


@pytest.fixture
def tree(tmp_path):
    """The package as a wheel lays it out, Python files only."""
    for source, target in PARTS.items():
        for file in (HERE / source).rglob("*.py"):
            copy = tmp_path / target / file.relative_to(HERE / source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    shutil.copy(HERE / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(tree):
    return subprocess.run(
        [sys.executable, "-c", LINT, "--config", "pyproject.toml", "--no-cache"],
        cwd=tree,
        env={"PYTHONPATH": str(tree), "PATH": "", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_imports_run_one_way(tree):
    done = lint_imports(tree)
    assert done.returncode == 0, done.stdout + done.stderr


def plant(tree, path, line):
    planted = tree / "motiongpt3_jax" / path
    planted.parent.mkdir(exist_ok=True)
    planted.write_text((planted.read_text() if planted.exists() else "") + f"\n{line}\n")


def test_planted_violations_are_found(tree):
    for path, line in VIOLATIONS.values():
        plant(tree, path, line)
    done = lint_imports(tree)
    assert done.returncode == 1, done.stdout + done.stderr
    missed = []
    for violation, (path, line) in VIOLATIONS.items():
        module = path.removesuffix(".py").replace("/", ".")
        if f"motiongpt3_jax.{module} -> {line.removeprefix('import ')} (l." not in done.stdout:
            missed.append(violation)
    assert not missed, done.stdout


def test_a_new_folder_has_no_layer(tree):
    plant(tree, "planted/__init__.py", "")
    done = lint_imports(tree)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "planted" in done.stdout


def test_every_name_is_defined():
    # The style check leaves this out, for it takes the axes of jaxtyping, which are strings, for names.
    check = ["ruff", "check", "--isolated", "--select", "F821", "--output-format", "json", *PARTS, "tests", "launch"]
    found = subprocess.run([sys.executable, "-m", *check], cwd=HERE, capture_output=True, text=True, check=False)
    files = {file: strings_of(file) for file in {entry["filename"] for entry in json.loads(found.stdout)}}
    undefined = [
        f"{entry['filename']}:{entry['location']['row']}: {entry['message']}"
        for entry in json.loads(found.stdout)
        if not within(entry["location"], files[entry["filename"]])
    ]
    assert not undefined, undefined


def strings_of(file):
    """(first line, its column, last line, its column) of every string of a file."""
    nodes = ast.walk(ast.parse(Path(file).read_text(encoding="utf-8")))
    strings = [node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [(node.lineno, node.col_offset, node.end_lineno, node.end_col_offset) for node in strings]


def within(place, strings):
    """Whether a line and column, both from 1, lie in a string."""
    row, column = place["row"], place["column"] - 1
    return any((top, left) <= (row, column) < (bottom, right) for top, left, bottom, right in strings)


def declared():
    """Distributions of setup.py: what an installation brings, and each extra."""
    call = next(
        node
        for node in ast.walk(ast.parse((HERE / "setup.py").read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setup"
    )
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    groups = {"": keywords["install_requires"]} | dict(
        zip(ast.literal_eval(ast.Tuple(keywords["extras_require"].keys)), keywords["extras_require"].values)
    )
    return {name: [normal(line) for line in ast.literal_eval(lines)] for name, lines in groups.items()}


def normal(requirement):
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=\[;~! ]", requirement, maxsplit=1)[0]).lower()


def outside_imports(folder):
    """(file, distributions that could bring it, whether at module level) of every import from outside the house."""
    known = packages_distributions()
    for file in sorted((HERE / folder).rglob("*.py")):
        module = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(module):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for name in {name.split(".")[0] for name in names}:
                if name not in sys.stdlib_module_names and name not in ("motiongpt3_jax", "tests"):
                    yield file.relative_to(HERE), {normal(d) for d in known.get(name, [name])}, node in module.body


@pytest.mark.parametrize("folder", PARTS)
def test_every_import_of_the_package_is_declared(folder):
    groups = declared()
    everything = {name for names in groups.values() for name in names}
    for file, names, at_once in outside_imports(folder):
        assert names & set(groups[""] if at_once else everything), f"{file} imports {names}: not in setup.py"


def test_every_import_of_the_tests_is_declared():
    groups = declared()
    everything = {name for names in groups.values() for name in names}
    for file, names, at_once in outside_imports("tests"):
        wanted = groups[""] + groups["dev"] if at_once else everything
        assert names & set(wanted), f"{file} imports {names}: not among the dev extra of setup.py"


def test_versions_are_lower_bounds():
    for line in re.findall(r'^\s+"([\w\[\]-]+[<>=~!].*)",$', (HERE / "setup.py").read_text(), re.M):
        assert re.fullmatch(r"[\w-]+(\[\w+\])?>=[\d.]+", line), f"setup.py requires {line!r}"
