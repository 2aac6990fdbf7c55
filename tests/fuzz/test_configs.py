"""Damaged configs: every key taken away, exchanged and added to, odd overrides, files that are no config."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.inference.folder import plain
from tests.fuzz.cases import Case, generator, try_all

SEED = 11

ODD = (
    *(
        None,
        True,
        -1,
        0,
        2**70,
        -(2**70),
        1.5,
        1e300,
        -0.5,
        float("nan"),
        float("inf"),
        "",
        "vae",
        "a\0b",
        "(",
        "\udcff",
    ),
    *((), (None,), ("vae",), ("vae", "vae"), ((1, 2),), (("t2m", -1.0),), {}, {"a": 1}, b"bytes", object),
)

OVERRIDES = (
    *("None", "-1", "0", "99999999999999999999", "1e400", "nan", "()", "('none',)", "('vae','vae')", "{}", "{[]: 1}"),
    *(
        "'(' * 3",
        "(" * 300,
        "-" * 20000 + "1",
        "0x" + "f" * 6000,
        "'\\0'",
        "\udcff",
        "",
        "True",
        "[[[[]]]]",
        "__import__",
    ),
)

FILES = {
    "a syntax error": ("def get_config(:\n", "line 1"),
    "an import error": ("import nothing_like_this\n", "line 1"),
    "no get_config": ("config = {}\n", "get_config"),
    "get_config is a number": ("get_config = 5\n", "get_config"),
    "it raises": ("\n\ndef get_config():\n    raise KeyError('start')\n", "line 4"),
    "it raises below": ("def inner():\n    return 1 / 0\n\ndef get_config():\n    return inner()\n", "line 2"),
    "it leaves": ("import sys\nsys.exit(3)\n", "line 2"),
    "it calls itself": ("def get_config():\n    return get_config()\n", "line 2"),
    "it returns nothing": ("def get_config():\n    pass\n", "NoneType"),
    "it returns a dictionary": ("def get_config():\n    return {'seed': 1}\n", "dict"),
    "it asks for more": ("def get_config(variant):\n    return 1\n", "variant"),
    "bytes": ("\xff\xfe\0", "FILE"),
    "it returns an empty config": ("from ml_collections import ConfigDict\nget_config = ConfigDict\n", "config has no"),
    "it returns values of its own": (
        "from motiongpt3_jax.configs.motiongpt3 import test\n\n\ndef get_config():\n    config = test()\n"
        "    config.model.vae.update({'depth': 3})\n    return config\n",
        "config.model.vae",
    ),
}


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """The smallest config as plain values."""
    return plain(load_config("motiongpt3:test").to_dict())


def paths(section: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where every value and every section lies."""
    for key, value in section.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from paths(value, (*above, key))


def changed(config: dict[str, Any], path: tuple[str, ...], *value: Any) -> dict[str, Any]:
    """The config with another value at a path, or with none."""
    found = copy.deepcopy(config)
    node = found
    for key in path[:-1]:
        node = node[key]
    if value:
        node[path[-1]] = value[0]
    else:
        del node[path[-1]]
    return found


def damaged(config: dict[str, Any], count: int) -> Iterator[Case]:
    """Sections and values taken away, exchanged, and added."""
    places = [path for path in paths(config) if path[:1] != ("stages",) or len(path) == 1 or path[1] in config["run"]]
    for number in range(count):
        rng = generator(SEED, number)
        path = places[rng.integers(len(places))]
        key, kind = path[-1], rng.choice(["gone", "unknown", "other", "other"])
        if kind == "gone":
            wrong = None if "objective" in path[:-1] else True
            yield case(f"{'.'.join(path)} is gone", changed(config, path), (key, path[-2] if path[1:] else key), wrong)
        elif kind == "unknown":
            odd = (*path[:-1], key + "x")
            wrong = None if path[:-1] == ("stages",) else True
            yield case(f"{'.'.join(odd)} is new", changed(config, odd, 1), (odd[-1], key), wrong)
        else:
            odd = ODD[rng.integers(len(ODD))]
            named = (*path, *map(str, config["run"]))
            yield case(f"{'.'.join(path)} is {odd!a}", changed(config, path, odd), named)


def case(name: str, config: dict[str, Any], named: tuple[str, ...], wrong: bool | None = None) -> Case:
    return Case(name, lambda: check_config(config), named, wrong)


def overridden(config: dict[str, Any], count: int) -> Iterator[Case]:
    """Odd values in overrides, as `train` takes them."""
    places = [path for path in paths(config) if path[:1] != ("stages",) or path[1:2] == ("vae",)]
    for number in range(count):
        rng = generator(SEED + 1, number)
        key, text = ".".join(places[rng.integers(len(places))]), OVERRIDES[rng.integers(len(OVERRIDES))]

        def run(override: str = f"{key}={text}") -> None:
            check_config(plain(load_config("motiongpt3:test", [override]).to_dict()))

        yield Case(f"{key}={text[:40]!a}", run, (*key.split("."), "stages.text"))


def commands(folder: Path) -> Iterator[Case]:
    """What `train` says of files that are no config, and of values that no run has; nothing is left behind."""
    for number, (name, (content, said)) in enumerate(FILES.items()):
        path = folder / f"config{number}.py"
        path.write_bytes(content.encode("latin-1"))
        named = (said.replace("FILE", path.name),)
        arguments = ("train", "--config", str(path), "--workdir", str(folder / "run"))
        yield Case(name, arguments, named, wrong=True)
        yield Case(f"{name}, with a variant", (*arguments[:2], f"{path}:a:b:c", *arguments[3:]), wrong=True)
    for override, said in {
        "run=()": "config.run",
        "run=('vae','vae')": "config.run",
        "run=('vae','dance')": "dance",
        "stages.vae.steps=-1": "config.stages.vae.steps",
        "stages.vae.steps=None": "config.stages.vae.steps",
        "seed=None": "config.seed",
        "seed=99999999999999999999": "config.seed",
        "tokenizer=train:abc": "config.tokenizer",
        "tokenizer=train:99999999": "ids",
        "tokenizer=nope/nope": "nope/nope",
        "tokenizer=./nowhere": "nowhere",
        "start=./nowhere": "nowhere",
        "pretrained=./nowhere": "config.pretrained",
        "data.path=~nobody9/x": "~nobody9/x",
        "data.source=humanml3d": "data.path",
        "data.min_frames=1": "data.min_frames",
        "data.on_bad=shrug": "data.on_bad",
        "mesh.fsdp=3": "mesh",
        "model.vae.layers=4": "layers",
        "model.vae.heads=5": "heads",
        "model.decoder.max_positions=100": "max_positions",
        "stages.generate.trainable=('nothing/.*',)": "config.stages.generate.trainable",
        "stages.generate.trainable=('(',)": "config.stages.generate.trainable",
        "stages.generate.templates=none": "config.stages.generate.templates",
        "stages.generate.subtasks=(('fly', 1.0),)": "fly",
        "stages.generate.loss=joy": "config.stages.generate.loss",
        "stages.vae.batch.clips=((4000, 1),)": "config.stages.vae.batch.clips",
    }.items():
        arguments = ("train", "--config", "motiongpt3:test", "--workdir", str(folder / "run"), f"--config.{override}")
        yield Case(override, arguments, (said,), wrong=True)


def test_damaged_configs_are_refused_by_key_and_nothing_is_built(whole, tmp_path):
    try_all(commands(tmp_path), tmp_path)
    try_all(damaged(whole, 120), tmp_path)
    try_all(overridden(whole, 50), tmp_path)


@pytest.mark.slow
def test_thousands_of_damaged_configs_are_refused_by_key(whole, tmp_path):
    try_all(damaged(whole, 3000), tmp_path)
    try_all(overridden(whole, 1000), tmp_path)
