"""Exported models: written, read back, and said to be what they are."""

import json

import huggingface_hub
import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file, save_file

from motiongpt3_jax.inference.engine import Engine, make_system
from motiongpt3_jax.inference.exported import without_local_paths, write_exported
from motiongpt3_jax.inference.folder import read_folder, resolve_model
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.systems.motiongpt3.name_table import TIED
from motiongpt3_jax.systems.motiongpt3.official import to_official
from tests.inference.models import exported_model, model_folder, random_variables


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(folder, variables) of an exported model."""
    return exported_model(tmp_path_factory.mktemp("exported") / "model")


def edited(folder, tmp_path, change):
    """A copy of an exported model's weights after `change(tensors, metadata)`, in a folder like it."""
    copy = tmp_path / "edited"
    copy.mkdir()
    for path in folder.path.iterdir():
        if path.name != "model.safetensors":
            (copy / path.name).symlink_to(path)
    tensors, metadata = load_file(folder.path / "model.safetensors"), {"format_version": "2", "stage": "a", "step": "1"}
    change(tensors, metadata)
    save_file(tensors, copy / "model.safetensors", metadata=metadata)
    return copy


def test_what_is_written_is_read_back_bit_by_bit(exported):
    folder, variables = exported
    engine = Engine.load(folder.path)
    assert engine.trained == ("tune", 7)
    jax.tree.map(np.testing.assert_array_equal, engine.variables, engine.answers.prepare(variables))
    for name in ("mean", "std", "offsets"):
        np.testing.assert_array_equal(getattr(engine.folder.statistics, name), getattr(folder.statistics, name))
    assert engine.folder.config == folder.config
    assert engine.folder.tokenizer.encode("a person") == folder.tokenizer.encode("a person")


def test_the_weights_have_the_paths_of_our_parameters(exported):
    folder, variables = exported
    tensors = load_file(folder.path / "model.safetensors")
    expected = flatten_dict(variables.params, sep="/")
    assert tensors.keys() == expected.keys() | {"state/latent_mean", "state/latent_square"}
    np.testing.assert_array_equal(tensors["vae/embed/kernel"], variables.params["vae"]["embed"]["kernel"])


def test_weights_by_official_names_as_earlier_versions_wrote_them_are_read(exported, tmp_path):
    folder, variables = exported

    def rename(tensors, metadata):
        metadata["format_version"] = "1"
        official = to_official(variables.params, make_system(folder).config)
        tensors.clear()
        tensors.update({name: tensor for name, tensor in official.items() if name not in TIED})
        tensors.update({f"state.{name}": array for name, array in variables.state.items()})

    copy = edited(folder, tmp_path, rename)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").unlink()
    (copy / "config.json").write_text(json.dumps({name: value for name, value in config.items() if name != "sha256"}))
    engine = Engine.load(copy)
    jax.tree.map(np.testing.assert_array_equal, engine.variables, engine.answers.prepare(variables))


def test_whoever_reads_the_card_may_read_the_weights(exported):
    modes = {path.name: path.stat().st_mode for path in exported[0].path.iterdir() if path.is_file()}
    assert modes["model.safetensors"] == modes["README.md"]


def test_the_card_can_be_pushed_and_says_how_to_use_the_model(exported):
    folder, _ = exported
    front = huggingface_hub.metadata_load(folder.path / "README.md")
    assert front["library_name"] == "motiongpt3_jax"
    assert "text-to-motion" in front["tags"]
    card = (folder.path / "README.md").read_text()
    assert "motiongpt3 generate --model" in card
    assert "stage `tune` at\nstep 7" in card
    assert "Not trained yet" not in card


@pytest.mark.parametrize(
    ("templates", "asked"),
    [
        ("pretrain", {"t2m": "<Caption_Placeholder>", "m2t": "<Motion_Placeholder>"}),
        ("own.json", {"t2m": "Show <Caption_Placeholder> now", "m2t": "What does <Motion_Placeholder> show?"}),
    ],
)
def test_the_config_says_how_the_model_is_asked_to_readers_without_its_templates(
    tmp_path, monkeypatch, templates, asked
):
    monkeypatch.chdir(tmp_path)
    own = {
        "Ours": {
            "t2m": {"class": "t2m", "input": [asked["t2m"]], "output": ["<Motion_Placeholder>"]},
            "m2t": {
                "class": "m2t",
                "input": ["What does <Motion_Placeholder_s1> show?"],
                "output": ["<Caption_Placeholder>"],
            },
        }
    }
    (tmp_path / "own.json").write_text(json.dumps(own))
    exported_model(tmp_path / "model", f"stages.align_bare.templates={templates}", "run=('align_bare',)")
    said = json.loads((tmp_path / "model" / "config.json").read_text())["questions"]
    assert asked.items() <= said.items()
    assert read_folder(tmp_path / "model").questions == said


def test_no_folder_of_the_machine_goes_into_an_exported_config(tmp_path):
    (tmp_path / "own").mkdir()
    config = model_folder().config
    config = {**config, "data": {**config["data"], "path": "/home/me/data"}, "pretrained": "org/gpt2"}
    shared = without_local_paths({**config, "tokenizer": str(tmp_path / "own")})
    assert (shared["data"]["path"], shared["tokenizer"], shared["pretrained"]) == ("", "own", "org/gpt2")
    assert str(tmp_path) not in json.dumps(shared)


def test_an_export_replaces_an_export_and_nothing_else(tmp_path):
    exported_model(tmp_path / "model")
    exported_model(tmp_path / "model")
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match="holds something else than an exported model"):
        exported_model(full)
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="a file stands there"):
        exported_model(tmp_path / "file")


def test_a_run_is_not_written_over(tmp_path):
    exported_model(tmp_path / "run")
    (tmp_path / "run" / "checkpoints").mkdir()
    with pytest.raises(FileExistsError, match="holds something else"):
        exported_model(tmp_path / "run")


def test_an_export_that_fails_leaves_no_model(tmp_path):
    folder = model_folder()
    _, variables = random_variables(folder)
    write_exported(tmp_path / "model", folder, variables, ("tune", 1))
    broken = variables.replace(params=variables.params | {"null_condition": np.array(["words"])})
    with pytest.raises(ValueError, match="could not convert"):
        write_exported(tmp_path / "model", folder, broken, ("tune", 2))
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        read_folder(tmp_path / "model")


@pytest.mark.parametrize(("content", "said"), [(None, "there is no '.*statistics"), (b"words", "statistics.*damaged")])
def test_statistics_that_are_missing_or_damaged_are_said(tmp_path, content, said):
    exported_model(tmp_path / "model")
    (tmp_path / "model" / "statistics.npz").unlink()
    if content:
        (tmp_path / "model" / "statistics.npz").write_bytes(content)
    with pytest.raises((FileNotFoundError, ValueError), match=said):
        read_folder(tmp_path / "model")


def test_the_best_of_an_exported_model_is_refused(exported):
    with pytest.raises(FileNotFoundError, match="one set of weights: leave --best out"):
        Engine.load(exported[0].path, "best")


def test_a_model_whose_parts_are_untrained_does_not_answer(tmp_path):
    folder, _ = exported_model(tmp_path / "model", untrained=("vae", "motion"))
    assert read_folder(folder.path).untrained == ("vae", "motion")
    assert "Not trained yet: vae, motion" in (folder.path / "README.md").read_text()
    with pytest.raises(ValueError, match=r"not trained: vae, motion\..*--config\.start="):
        Engine.load(folder.path)


def drop_state(tensors, metadata):
    del tensors["state/latent_mean"]


def drop_version(tensors, metadata):
    del metadata["format_version"]


def drop_tensor(tensors, metadata):
    del tensors["vae/final/bias"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop_state, "has no state/latent_mean"),
        (drop_version, "has format None where '2' is read"),
        (drop_tensor, "has no vae/final/bias"),
    ],
)
def test_weights_of_another_kind_are_refused(exported, tmp_path, change, said):
    with pytest.raises(ValueError, match=said):
        Engine.load(edited(exported[0], tmp_path, change))


@pytest.mark.parametrize(
    ("content", "said"),
    [('{"n_layer": 12}', "another program's; models of others come in with"), ('{"config": {', "is damaged")],
)
def test_a_config_of_another_kind_is_said(tmp_path, content, said):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=said):
        Engine.load(tmp_path)


def test_damaged_weights_are_said(exported, tmp_path):
    copy = edited(exported[0], tmp_path, lambda *_: None)
    content = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(content[:1000])
    with pytest.raises(ValueError, match="is damaged"):
        Engine.load(copy)


def test_a_name_on_the_hub_is_downloaded(exported, monkeypatch):
    asked = []

    def snapshot_download(name, allow_patterns):
        asked.append(name)
        assert "model.safetensors" in allow_patterns
        return str(exported[0].path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert resolve_model("some-body/a.model") == exported[0].path
    folder = read_folder(resolve_model("some-body/a.model"))
    assert read_variables(folder)[:2] == ("tune", 7)
    assert asked == ["some-body/a.model"] * 2


def test_what_is_here_or_looks_like_a_path_is_not_looked_up(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("runs", "runs/demo", "nowhere", "./a/b", "/a/b", "a/b/c"):
        assert str(resolve_model(name)) == name.removeprefix("./")


def test_a_name_that_the_hub_does_not_give_is_said_in_one_sentence(monkeypatch):
    def snapshot_download(name, allow_patterns):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(
        FileNotFoundError, match=r"no model at 'some/body'.*the hub did not give it \(ConnectionError\)"
    ):
        resolve_model("some/body")


def test_a_question_without_the_motion_that_it_is_about_is_not_brought_along(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = {"class": "m2t", "input": ["What does it show?"], "output": ["<Caption_Placeholder>"]}
    (tmp_path / "own.json").write_text(json.dumps({"Ours": {"m2t": lines}}))
    exported_model(tmp_path / "model", "stages.align_bare.templates=own.json", "run=('align_bare',)")
    assert read_folder(tmp_path / "model").questions.keys() == {"t2m"}
