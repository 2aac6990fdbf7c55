"""Arguments that several commands share."""

import argparse

import pytest

from motiongpt3_jax.commands.arguments import named_value, output_file, user_path
from tests.commands.conftest import call
from tests.fuzz.cases import command


def test_a_home_that_nobody_has_is_said_for_every_path():
    for asked in (
        ("convert", "--motion", "~nobody9/a.npy", "--to", "npz"),
        ("export", "--model", "x", "--format", "safetensors", "--out", "~nobody9/x"),
        ("data", "check", "humanml3d", "--path", "~nobody9/x"),
        ("train", "--config", "motiongpt3:test", "--workdir", "~nobody9/x"),
    ):
        status, said = command(*asked)
        assert status == 2
        assert "no home folder is known for ~nobody9" in said


@pytest.mark.parametrize("flag", ["--file", "--mapping"])
def test_a_file_of_an_option_that_was_never_fetched_is_called_a_pointer(tmp_path, flag):
    (tmp_path / "given").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 3\n")
    asked = {
        "--file": ("generate", "--model", tmp_path / "none", "--out", tmp_path / "out"),
        "--mapping": ("convert", "--motion", tmp_path / "walk.bvh", "--to", "npz"),
    }
    status, _, error = call(*asked[flag], flag, tmp_path / "given")
    assert status == 2
    assert "given" in error
    assert "is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'" in error


def test_the_home_folder_is_put_in_where_a_shell_does_not(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert user_path("~/runs/demo") == "/home/me/runs/demo"
    assert user_path("some/body") == "some/body"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--steps", "0"), "--steps 0: give a number from 1 to"),
        (("--steps", "99999999"), "--steps 99999999: give a number from 1 to 10000"),
        (("--seed", "-1"), "seed -1: give whole numbers"),
        (("--samples", "99999999999"), "--samples 99999999999: 100000 are the most"),
        (("--eta", "2"), "--eta 2.0: give a number from 0 to 1"),
    ],
)
def test_what_no_model_can_do_is_said_before_the_model_is_looked_for(more, said, tmp_path):
    status, _, error = call("generate", "--model", "nowhere", "--text", "a", "--out", tmp_path / "x", *more)
    assert status == 2
    assert said in error


def test_asking_for_a_file_of_results_makes_no_folder(tmp_path):
    assert output_file("--json", str(tmp_path / "deep" / "a.json")) == tmp_path / "deep" / "a.json"
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("steps=3", ("steps", 3)),
        ("scale=.5", ("scale", 0.5)),
        ("sampler=ddim", ("sampler", "ddim")),
        ("draw=true", ("draw", True)),
        ("name=a=b", ("name", "a=b")),
    ],
)
def test_a_named_value_is_read_as_what_it_looks_like(text, value):
    assert named_value(text) == value
    assert type(named_value(text)[1]) is type(value[1])


@pytest.mark.parametrize("text", ["steps", "=3", "steps="])
def test_what_is_no_named_value_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no NAME=VALUE"):
        named_value(text)
