"""The wheel: what is in it, and that it works on its own, outside the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]
INSIDE = {"motiongpt3_jax": "motiongpt3_jax", "configs": "motiongpt3_jax/configs"}
INSIDE["data_pipelines"] = "motiongpt3_jax/data_pipelines"

ONE_STEP = ("train", "--config", "motiongpt3:test", "--config.run=('vae',)", "--config.stages.vae.steps=1")


def run(*command, cwd, **environment):
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of a copy of the sources, so that nothing stale is packed and nothing is left in the checkout."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(HERE / name, source)
    for name in (*INSIDE, "tests"):
        shutil.copytree(HERE / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source, cwd=source)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def motiongpt3(wheel, tmp_path_factory):
    """The console command of an environment with the wheel, which borrows this environment's other packages."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        scripts / "python",
        "install",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=folder,
    )
    site = run(scripts / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    # A folder named in a .pth file is searched, but its own .pth files, the editable installation's too, are not read.
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(site, "borrowed.pth").write_text("".join(f"{path}\n" for path in sorted(borrowed)))
    origin = run(scripts / "python", "-c", "import motiongpt3_jax; print(motiongpt3_jax.__file__)", cwd=folder).strip()
    assert Path(origin).is_relative_to(folder)
    return scripts / "motiongpt3"


def test_the_wheel_puts_one_name_into_site_packages(wheel):
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"motiongpt3_jax"}


def test_the_wheel_holds_every_module_and_data_file_and_nothing_else(wheel):
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = set()
    for folder, target in INSIDE.items():
        for file in (HERE / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                expected.add(f"{target}/{file.relative_to(HERE / folder).as_posix()}")
    assert packed == expected
    assert {"motiongpt3_jax/configs/__init__.py", "motiongpt3_jax/motion/pictures/player.html"} <= packed


def test_the_wheel_carries_its_licence(wheel):
    assert any(name.endswith("LICENSE") for name in zipfile.ZipFile(wheel).namelist())


def test_an_installed_wheel_shows_its_commands(motiongpt3, tmp_path):
    assert "train" in run(motiongpt3, "--help", cwd=tmp_path)


@pytest.mark.slow
def test_an_installed_wheel_trains_a_step_outside_the_checkout(motiongpt3, tmp_path):
    run(motiongpt3, *ONE_STEP, "--workdir", tmp_path / "run", cwd=tmp_path)
    assert any((tmp_path / "run").iterdir())
