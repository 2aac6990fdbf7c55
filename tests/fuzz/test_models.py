"""Damaged folders of models: every value of the config, statistics, tokenizer and weights, with and without digests."""

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from motiongpt3_jax.inference.engine import Engine, Question
from motiongpt3_jax.inference.folder import read_folder
from motiongpt3_jax.inference.prompts import Prompts
from motiongpt3_jax.inference.weights import read_variables
from tests.fuzz.cases import Case, generator, try_all
from tests.inference.models import exported_model

SEED = 13

ODD = (
    *(None, True, -1, 0, 1, 2, 1e300, -0.5, 2**70, "", "x", "humanml3d", "<Motion_Placeholder>", "<|endoftext|>"),
    *([], [1], ["vae"], ["vae", "vae"], [["t2m", "x"]], {}, {"a": 1}, [[[[]]]], "bfloat16", 5, 20.0, 10**9),
)

WRONG = {
    "config.model.decoder.heads": (0, -4, 3, "4", None, 4.0),
    "config.model.vae.heads": (0, 5),
    "config.model.vae.layers": (4, 2, 0),
    "config.model.dtype": ("float33", 5),
    "config.model.latent_scale": (0, "x", []),
    "config.model.flow": (1, "no"),
    "config.data.min_frames": (None, -1, 500),
    "config.run": (["dance"], 5, "vae"),
    "config.stages": ([], {}, None),
    "config.layout.interleave": (1, None),
    "config.system": ("motiongpt4", None),
    "skeleton": ([], "smpl", None),
    "fps": (0, -1, "20", None, 1e9),
    "untrained": (5, ["legs"], "vae"),
    "questions": (5, [], {"t2m": "Show it"}, {"t2m": "<Motion_Placeholder> <Caption_Placeholder>"}, {"m2t": "What?"}),
    "sha256": (5, {"config.json": 5}),
}
"""Values that no model has, by their keys."""

TEXTS = {
    "nested": "[" * 100_000,
    "nested keys": '{"config":' * 100_000,
    "cut": None,
    "a number": "5",
    "bytes": "\xff\xfe",
    "of another program": '{"n_layer": 12}',
    "empty": "",
    "digits": '{"config": {}, "skeleton": "humanml3d", "fps": ' + "9" * 5000 + "}",
}

STATISTICS: dict[str, Callable[[dict[str, np.ndarray]], object]] = {
    "std is zero": lambda x: x["std"].__setitem__(3, 0),
    "std is negative": lambda x: x["std"].__setitem__(0, -1),
    "std is NaN": lambda x: x["std"].__setitem__(0, np.nan),
    "mean is infinite": lambda x: x["mean"].__setitem__(0, np.inf),
    "mean is absurd": lambda x: x["mean"].__setitem__(0, 1e20),
    "mean is short": lambda x: x.update(mean=x["mean"][:-1]),
    "mean is text": lambda x: x.update(mean=x["mean"].astype(str)),
    "mean is complex": lambda x: x.update(mean=x["mean"].astype(complex)),
    "mean is gone": lambda x: x.pop("mean"),
    "offsets are NaN": lambda x: x["offsets"].__setitem__((0, 0), np.nan),
    "offsets are of three joints": lambda x: x.update(offsets=x["offsets"][:3]),
    "lengths are text": lambda x: x.update(lengths=np.array(["long", "short"])),
    "lengths have two axes": lambda x: x.update(lengths=np.ones((2, 3))),
    "lengths are negative": lambda x: x.update(lengths=np.array([-40.0, 40.0])),
    "lengths are huge": lambda x: x.update(lengths=np.array([40.0, 1e15])),
    "lengths fall": lambda x: x.update(lengths=np.array([80.0, 40.0])),
    "lengths are NaN": lambda x: x.update(lengths=np.array([np.nan])),
    "a bomb beside them": lambda x: x.update(other=np.zeros(2 * 10**6)),
}

WEIGHTS: dict[str, Callable[[dict[str, np.ndarray]], object]] = {
    "a NaN": lambda x: x["vae/final/bias"].__setitem__(0, np.nan),
    "an infinity": lambda x: x["null_condition"].__setitem__((0, 0), np.inf),
    "a negative square": lambda x: x["state/latent_square"].__setitem__((0, 0), -1),
    "a state of another shape": lambda x: x.update({"state/latent_mean": np.zeros((3, 3), np.float32)}),
    "a tensor less": lambda x: x.pop("vae/final/bias"),
    "a tensor of another shape": lambda x: x.update({"vae/final/bias": np.zeros(3, np.float32)}),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An exported model that lies in a folder of its own."""
    return exported_model(tmp_path_factory.mktemp("model") / "model")[0].path


class Copies:
    """Copies of a model in which one file is another; the rest are links to the files of the first."""

    def __init__(self, model: Path, folder: Path) -> None:
        self.model, self.folder, self.count = model, folder, 0
        self.said = json.loads((model / "config.json").read_text(encoding="utf-8"))

    def without_digests(self) -> dict[str, Any]:
        """What `config.json` says, as before there were digests."""
        return {key: copy.deepcopy(value) for key, value in self.said.items() if key != "sha256"}

    def make(self, name: str, content: bytes | None, digests: bool = False) -> Path:
        """A copy whose file `name` has this content, or is gone."""
        place = self.folder / f"copy{self.count}"
        self.count += 1
        place.mkdir()
        for path in self.model.iterdir():
            os.symlink(path, place / path.name)
        if not digests:
            (place / "config.json").unlink()
            (place / "config.json").write_text(json.dumps(self.without_digests()), encoding="utf-8")
        if "/" in name:
            (place / "tokenizer").unlink()
            shutil.copytree(self.model / "tokenizer", place / "tokenizer")
        (place / name).unlink()
        if content is not None:
            (place / name).write_bytes(content)
        return place


@pytest.fixture
def copies(model, tmp_path):
    return Copies(model, tmp_path)


def opened(place: Path) -> Engine:
    """A model as `Model.load` opens it, up to what has to be compiled."""
    folder = read_folder(place)
    stage, step, variables = read_variables(folder)
    engine = Engine.of(folder, variables, (stage, step))
    assert 0 < engine.frames[0] <= engine.frames[1]
    assert engine.window_length > 0
    question = Question(Prompts.of(folder, stage).question("t2m", caption="a person walks"))
    engine.answers.example(0, question, "motion", engine.answers.motion_options())
    return engine


def case(name: str, place: Path, file: str, wrong: bool | None = True) -> Case:
    return Case(name, lambda: opened(place), (file,), wrong)


def known(copies: Copies) -> Iterator[Case]:
    """Damage that must be noticed, where nothing but the values shows it."""
    for key, values in WRONG.items():
        for value in values:
            said = copies.without_digests()
            *above, last = key.split(".")
            node = said
            for part in above:
                node = node[part]
            node[last] = value
            place = copies.make("config.json", json.dumps(said).encode())
            yield case(f"{key} is {value!a}", place, "config.json")
        arguments = ("convert", "--motion", str(copies.folder / "none.npy"), "--to", "npz", "--model", str(place))
        yield Case(f"{key} is {value!a}, by a command", arguments, ("config.json",), wrong=True)
    for name, text in TEXTS.items():
        content = json.dumps(copies.said)[:700] if text is None else text
        yield case(f"config.json: {name}", copies.make("config.json", content.encode("latin-1")), "config.json")
    for name, change in STATISTICS.items():
        with np.load(copies.model / "statistics.npz") as file:
            arrays = {key: file[key] for key in file}
        change(arrays)
        path = copies.folder / "changed.npz"
        np.savez_compressed(path, **arrays)
        yield case(name, copies.make("statistics.npz", path.read_bytes()), "statistics.npz")
    for name, change in WEIGHTS.items():
        tensors = load_file(copies.model / "model.safetensors")
        change(tensors)
        path = copies.folder / "changed.safetensors"
        save_file(tensors, path, metadata={"format_version": "2", "stage": "tune", "step": "7"})
        yield case(name, copies.make("model.safetensors", path.read_bytes()), "model.safetensors")
    for file in ("statistics.npz", "tokenizer/tokenizer.json"):
        yield case(f"{file} is gone", copies.make(file, None), file.split("/")[0])


def edited(copies: Copies, count: int) -> Iterator[Case]:
    """One value of `config.json` exchanged or taken away, anywhere; some of these are configs too."""
    for number in range(count):
        rng, said = generator(SEED, number), copies.without_digests()
        places = list(_places(said))
        node, key = places[rng.integers(len(places))]
        odd = ODD[rng.integers(len(ODD))]
        if rng.random() < 0.3:
            del node[key]
            name = f"{key} is gone"
        else:
            node[key], name = odd, f"{key} is {odd!a}"
        place = copies.make("config.json", json.dumps(said).encode())
        yield case(name, place, str(place), None)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in list(node.items()) if isinstance(node, dict) else list(enumerate(node)):
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


def flipped(copies: Copies, count: int) -> Iterator[Case]:
    """A bit flipped in a file whose digest is known: always noticed. Without digests: noticed, or a model."""
    files = ("config.json", "statistics.npz", "tokenizer/tokenizer.json", "model.safetensors")
    for number in range(count):
        rng, file = generator(SEED + 1, number), files[number % len(files)]
        content = bytearray((copies.model / file).read_bytes())
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        digests = rng.random() < 0.6
        wrong = True if digests and file != "config.json" else None
        place = copies.make(file, bytes(content), digests or file == "config.json")
        yield case(f"flip {number} in {file}, digests: {digests}", place, str(place), wrong)


def test_damaged_models_are_refused_by_file_and_key(copies):
    try_all(known(copies), copies.folder / "none")
    try_all(edited(copies, 60), copies.folder / "none")
    try_all(flipped(copies, 20), copies.folder / "none")


@pytest.mark.slow
def test_thousands_of_damaged_models_are_refused_by_file_and_key(copies):
    try_all(edited(copies, 2000), copies.folder / "none")
    try_all(flipped(copies, 400), copies.folder / "none")
