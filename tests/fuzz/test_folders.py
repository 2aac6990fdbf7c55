"""Broken folders of captioned motions by the hundreds: as users have them, and as they are built."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from motiongpt3_jax.data_pipelines.check import check
from motiongpt3_jax.data_pipelines.humanml3d import build, clips
from motiongpt3_jax.data_pipelines.records import open_records
from tests.data_pipelines.samples import LIMITS, humanml3d
from tests.fuzz.cases import Case, generator, try_all
from tests.fuzz.test_files import damaged, npy_of, odd_array, odd_header

FLAGS = ("--min-frames", "5", "--max-frames", "20")


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> dict[str, Path]:
    """A folder of joints, one of features with statistics, and a built one; in none of them is anything wrong."""
    root = tmp_path_factory.mktemp("sound")
    joints, features = humanml3d(root / "joints"), humanml3d(root / "features", features=True)
    for name in ("Mean.npy", "Std.npy"):
        np.save(features / name, np.ones(263, np.float32))
    return {"joints": joints, "features": features, "built": build(joints, root / "built", **LIMITS).folder}


WORDS = (
    *("<|endoftext|>", "<motion_latent_holder>", "<Caption_Placeholder>", "\0", "\x1b[2J", "#", "##", "####", "nan"),
    *("1e308", "-1", "inf", "a.npy", "../a", "/etc/passwd", "~", "", " ", "\n", "\r\n", "é", "人", "a" * 5000),
)


def odd_text(rng: np.random.Generator, content: bytes) -> bytes:
    """A list or captions with odd words in it."""
    text = content.decode()
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(len(text) + 1))
        text = text[:place] + str(rng.choice(WORDS)) + text[place + int(rng.integers(3)) :]
    return text.encode()


def odd_json(rng: np.random.Generator, content: bytes) -> bytes:
    """JSON with a value of another kind, or a key too few."""
    try:
        said = json.loads(content)
    except ValueError:
        return damaged(rng, content)
    values = (None, [], {}, "x", -1, 0, 1e30, True, [1], {"a": 1})
    place = said
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = keys[int(rng.integers(len(keys)))]
        if not isinstance(place[key], dict | list) or not place[key] or rng.random() < 0.4:
            if isinstance(place, dict) and rng.random() < 0.3:
                del place[key]
            else:
                place[key] = values[int(rng.integers(len(values)))]
            break
        place = place[key]
    return json.dumps(said).encode()


def break_one(rng: np.random.Generator, folder: Path) -> str:
    """Damages one file of a folder; returns its name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = files[int(rng.integers(len(files)))]
    content, kind = path.read_bytes(), rng.random()
    if kind < 0.1:
        path.unlink()
    elif kind < 0.2:
        path.write_bytes(b"")
    elif kind < 0.3:
        path.unlink()
        path.mkdir()
    elif kind < 0.5:
        path.write_bytes(damaged(rng, content))
    elif path.suffix == ".npy":
        path.write_bytes(odd_header(rng) if rng.random() < 0.4 else npy_of(odd_array(rng)))
    elif path.suffix == ".json":
        path.write_bytes(odd_json(rng, content))
    elif path.suffix == ".txt":
        path.write_bytes(odd_text(rng, content))
    else:
        path.write_bytes(damaged(rng, content))
    return path.name


def read_through(folder: Path) -> None:
    """Reads everything of a built folder, as training does."""
    records = open_records(folder)
    for name in records.splits:
        list(records.split(name).source)


def cases(sound: dict[str, Path], root: Path, count: int, seed: int) -> Iterator[Case]:
    """A folder with something broken, then: checked, looked at, built or read, by the library or by a command."""
    place, out = root / "folder", root / "out"
    for number in range(count):
        rng = generator(seed, number)
        kind = str(rng.choice(["joints", "features", "built"], p=(0.3, 0.3, 0.4)))
        shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(sound[kind], place)
        broken = break_one(rng, place)
        name, named = f"{kind} {number}, {broken}", (str(place), broken)
        source = "built" if kind == "built" else "humanml3d"
        flags = () if kind == "built" else FLAGS
        show = ("data", "show", source, "--path", str(place), *flags)
        if kind == "built":
            choices = (lambda: read_through(place), lambda: check(place), show)
        else:
            choices = (
                lambda: build(place, out, **LIMITS),
                lambda: check(place, **LIMITS),
                lambda: list(clips(place, "train", **LIMITS)),
                show,
            )
        yield Case(name, choices[number % len(choices)], named)


@pytest.mark.parametrize("count", [80, pytest.param(2500, marks=pytest.mark.slow)])
def test_broken_folders_are_refused_in_a_sentence_that_names_them(sound, tmp_path, count):
    tally = try_all(cases(sound, tmp_path, count, seed=count), tmp_path)
    assert tally.refused > count // 5


@pytest.mark.parametrize("count", [20, pytest.param(600, marks=pytest.mark.slow)])
def test_what_the_check_passes_is_built_and_what_it_does_not_pass_is_not(sound, tmp_path, count):
    place, out = tmp_path / "folder", tmp_path / "out"
    for number in range(count):
        rng = generator(11, number)
        shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(sound[str(rng.choice(["joints", "features"]))], place)
        broken = break_one(rng, place)
        bad = [problem for problem in check(place, **LIMITS) if problem.bad]
        refused = ""
        try:
            read_through(build(place, out, **LIMITS).folder)
        except (ValueError, OSError) as error:
            refused = str(error)
        assert bool(bad) == bool(refused), f"{number}, {broken}: checked: {bad}; built: {refused}"
        assert not refused or not out.exists(), f"{number}, {broken}: half of it was built"
