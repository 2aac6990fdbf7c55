"""Odd values for every flag of every command: refused in a sentence, whatever they are, before anything is done."""

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from motiongpt3_jax.__main__ import COMMANDS
from motiongpt3_jax.commands.arguments import duration, output_file, output_folder, split_overrides, user_path
from motiongpt3_jax.commands.generate import read_prompts
from motiongpt3_jax.commands.train import join_processes
from motiongpt3_jax.inference.exported import require_free
from motiongpt3_jax.inference.folder import resolve_model
from motiongpt3_jax.interop.export_model import require_file
from tests.fuzz.cases import Case, generator, try_all

SEED = 7

WRONG = {
    "demo": ("--config", "motiongpt3:none", "--out", "OUT"),
    "data": ("show", "humanml3d", "--path", "GONE"),
    "train": ("--config", "motiongpt3:none", "--workdir", "OUT"),
    "generate": ("--model", "GONE", "--text", "a person walks", "--out", "OUT"),
    "caption": ("--model", "GONE", "--motion", "GONE"),
    "import": ("--from", "GONE", "--out", "OUT"),
    "export": ("--model", "GONE", "--format", "safetensors", "--out", "OUT"),
    "predict": ("--model", "GONE", "--motion", "GONE", "--out", "OUT"),
    "inbetween": ("--model", "GONE", "--motion", "GONE", "--out", "OUT"),
    "chat": ("--model", "GONE", "Walk.", "--out", "OUT"),
    "convert": ("--motion", "GONE", "--to", "npz"),
    "bench": ("train", "--config", "motiongpt3:none"),
    "plan": ("--config", "motiongpt3:none", "--topology", "v5e:2x2"),
}
"""Arguments of each command of which one is wrong for certain, and must stay so."""

KEPT = {"--model", "--config", "--from", "--motion", "--path", "--unconditional", "--help", "-h"}
"""Flags that could make them right, or ask for something else."""

ODD = (
    *("", " ", "-", "--", "-1", "0", "1", "3.5", "nan", "inf", "-inf", "1e400", "9" * 30, "-" + "9" * 30, "1_0", "0x1"),
    *("~nobody9/x", "~", "../..", "/", "a/b", "a" * 5000, "a\nb", "\0", "\udcff", "ü人🦁", "٣", "%s", "{}", "$HOME"),
    *("None", "True", "[]", "()", "gif", "none", "train", "FILE", "FOLDER", "FILE/x", "OUT"),
)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Where the words that stand for places lead; the current folder is empty."""
    here = tmp_path / "here"
    (here / "folder").mkdir(parents=True)
    (here / "file").write_text("words")
    monkeypatch.chdir(here)
    return {"FILE": here / "file", "FOLDER": here / "folder", "GONE": here / "gone", "OUT": here / "out" / "deep"}


def put(word: str, places: dict[str, Path]) -> str:
    name = word.split("/")[0]
    return word.replace(name, str(places[name]), 1) if name in places else word


def command_lines(count: int, places: dict[str, Path]) -> Iterator[Case]:
    """Each command with one to three odd values among its arguments."""
    for number in range(count):
        rng, name = generator(SEED, number), tuple(COMMANDS)[number % len(COMMANDS)]
        parser = importlib.import_module(f"motiongpt3_jax.commands.{name}{'_' * (name == 'import')}").parser()
        flags = [flag for flag in parser._actions if flag.option_strings and not {*flag.option_strings} & KEPT]
        words = [put(word, places) for word in WRONG[name]]
        for flag in rng.choice(np.array(flags, object), size=rng.integers(1, 4)):
            words += odd_argument(flag, rng, places)
        named = ("config", *(text for flag in parser._actions for text in flag.option_strings), *filter(None, words))
        yield Case(" ".join(map(ascii, (name, *words)))[:300], (name, *words), named, wrong=True)


def odd_argument(flag: argparse.Action, rng: np.random.Generator, places: dict[str, Path]) -> list[str]:
    """A flag and as many odd values as it takes."""
    name = flag.option_strings[-1]
    if name.startswith("--config."):
        return [f"--config.{rng.choice(['seed', 'model', 'run', '', 'a.b', 'data..path'])}={rng.choice(ODD)}"]
    if flag.nargs == 0:
        return [name]
    several = flag.nargs in ("+", "*")
    return [name, *(put(str(word), places) for word in rng.choice(ODD, size=rng.integers(1, 3) if several else 1))]


def functions(count: int, places: dict[str, Path]) -> Iterator[Case]:
    """What reads the values of flags, called with odd ones."""
    readers = {
        "output_folder": output_folder,
        "output_file": lambda word: output_file("--json", word),
        "require_free": require_free,
        "require_file": require_file,
        "read_prompts": lambda word: read_prompts([word], None),
        "a file of sentences": lambda word: read_prompts([], word),
        "split_overrides": lambda word: split_overrides([word]),
        "join_processes": lambda word: join_processes([word, "2", word]),
        "resolve_model": resolve_model,
        "user_path": argument(user_path),
        "duration": argument(duration),
    }
    for number in range(count):
        rng, name = generator(SEED + 1, number), tuple(readers)[number % len(readers)]
        word = put(str(rng.choice(ODD)), places)
        yield Case(f"{name}({word[:60]!a})", lambda reader=readers[name], word=word: reader(word))


def argument(read):
    """A type of argparse, whose own error stands for ValueError."""

    def call(word):
        try:
            return read(word)
        except argparse.ArgumentTypeError as error:
            raise ValueError(str(error)) from None

    return call


def test_odd_values_of_flags_are_refused_in_a_sentence(places):
    try_all(command_lines(240, places), places["FILE"].parent)
    try_all(functions(220, places), places["FILE"].parent)


@pytest.mark.slow
def test_thousands_of_odd_values_of_flags_are_refused_in_a_sentence(places):
    try_all(command_lines(3000, places), places["FILE"].parent)
    try_all(functions(1000, places), places["FILE"].parent)
