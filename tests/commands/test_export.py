"""Exports as a user makes them, from a model with random weights."""

import importlib
import sys

import jax
import numpy as np
import pytest

from motiongpt3_jax.inference.engine import Engine
from motiongpt3_jax.inference.exported import write_exported
from motiongpt3_jax.systems.motiongpt3.latents import fold_moments
from motiongpt3_jax.systems.motiongpt3.modules import latent_state
from motiongpt3_jax.systems.motiongpt3.name_table import TIED
from motiongpt3_jax.systems.motiongpt3.official import to_official
from tests.commands.conftest import call
from tests.inference.models import exported_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """(folder, variables) of a model with measured moments."""
    return exported_model(tmp_path_factory.mktemp("model") / "model")


def checkpoint(path):
    torch = importlib.import_module("torch")
    return {name: x.numpy() for name, x in torch.load(path, weights_only=True)["state_dict"].items()}


def test_a_folder_is_written_and_is_the_same_model(model, tmp_path):
    status, out, error = call(
        "export", "--model", model[0].path, "--format", "safetensors", "--out", tmp_path / "a" / "b"
    )
    assert status == 0, error
    names = ("README.md", "config.json", "model.safetensors", "statistics.npz", "tokenizer/tokenizer.json")
    assert all(f"{tmp_path / 'a' / 'b' / name}\n" in out for name in names)
    engine = Engine.load(tmp_path / "a" / "b")
    jax.tree.map(np.testing.assert_array_equal, engine.variables, engine.system.unstacked(model[1]))
    assert engine.trained == ("tune", 7)


@pytest.mark.torch
def test_a_checkpoint_holds_the_folded_weights_and_says_so(model, tmp_path):
    folder, variables = model
    status, out, error = call("export", "--model", folder.path, "--format", "pytorch", "--out", tmp_path / "my.ckpt")
    assert status == 0, error
    assert "the official code knows one constant (0.8457): they went into the weights" in out
    config = Engine.load(folder.path).system.config
    expected = to_official(fold_moments(variables.params, variables.state), config)
    found = checkpoint(tmp_path / "my.ckpt")
    assert found.keys() == expected.keys()
    assert found.keys() >= TIED.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor, err_msg=name)
    np.testing.assert_array_equal(np.load(tmp_path / "my_Mean.npy"), folder.statistics.mean)
    np.testing.assert_array_equal(np.load(tmp_path / "my_Std.npy"), folder.statistics.std)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.ckpt", "my_Mean.npy", "my_Std.npy"]


@pytest.mark.torch
def test_with_the_official_constant_no_weight_changes(tmp_path):
    folder, variables = exported_model(tmp_path / "model", "model.latent_scale=0.8457")
    config = Engine.load(folder.path).system.config
    tensors = to_official(variables.params, config)
    write_exported(folder.path, folder, variables.replace(state=latent_state(config)), ("tune", 7))
    status, out, error = call("export", "--model", folder.path, "--format", "pytorch", "--out", tmp_path / "my.ckpt")
    assert status == 0, error
    assert "constant" not in out
    found = checkpoint(tmp_path / "my.ckpt")
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor, err_msg=name)


@pytest.mark.parametrize(
    ("format", "out", "said"),
    [
        ("safetensors", "full", "--out full: the folder holds something else"),
        pytest.param("pytorch", "full", "--out full: a folder stands there; give a file", marks=pytest.mark.torch),
    ],
)
def test_what_stands_in_the_way_is_said_and_left_alone(model, tmp_path, monkeypatch, format, out, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("words")
    status, _, error = call("export", "--model", model[0].path, "--format", format, "--out", out)
    assert (status, len(error.splitlines())) == (2, 1)
    assert said in error
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["thesis.tex"]


@pytest.mark.torch
def test_a_model_with_untrained_parts_becomes_no_checkpoint(tmp_path):
    folder, _ = exported_model(tmp_path / "model", untrained=("motion",))
    status, _, error = call("export", "--model", folder.path, "--format", "pytorch", "--out", tmp_path / "my.ckpt")
    assert status == 2
    assert "not trained: motion" in error
    assert not (tmp_path / "my.ckpt").exists()


@pytest.mark.torch
def test_a_rectified_flow_is_exported_with_a_warning(tmp_path):
    folder, _ = exported_model(tmp_path / "model", "model.flow=True")
    status, _, error = call("export", "--model", folder.path, "--format", "pytorch", "--out", tmp_path / "my.ckpt")
    assert status == 0
    assert "note: this model is a rectified flow" in error


def test_without_pytorch_one_sentence_says_what_to_install(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    status, _, error = call("export", "--model", model[0].path, "--format", "pytorch", "--out", tmp_path / "my.ckpt")
    assert (status, len(error.splitlines())) == (2, 1)
    assert "pip install 'motiongpt3_jax[torch]'" in error
