"""Models whose files were damaged or edited are refused where they are read."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from motiongpt3_jax.inference.check_folder import check_question
from motiongpt3_jax.inference.folder import read_folder
from motiongpt3_jax.inference.weights import check_variables, read_variables
from motiongpt3_jax.systems.registry import find_system
from tests.inference.models import exported_model, random_variables


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return exported_model(tmp_path_factory.mktemp("exported") / "model")[0].path


@pytest.fixture
def model(exported, tmp_path):
    """A copy of an exported model, to be damaged."""
    return Path(shutil.copytree(exported, tmp_path / "model"))


def config_of(model):
    return json.loads((model / "config.json").read_text())


def weights_of(model):
    return read_variables(read_folder(model))


@pytest.mark.parametrize("name", ["model.safetensors", "statistics.npz", "tokenizer/tokenizer.json"])
def test_a_file_that_is_not_as_it_was_written_is_refused_by_its_name(model, name):
    content = bytearray((model / name).read_bytes())
    # Near the end of each file lie values, which no structure holds together.
    place = content.rindex(b'"merges"') - 20 if name.endswith("json") else len(content) * 2 // 3
    content[place] ^= 1
    (model / name).write_bytes(bytes(content))
    with pytest.raises(ValueError, match=f"{re.escape(name)}' is (damaged|not as it was written)"):
        weights_of(model)


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "statistics.npz", "tokenizer/tokenizer.json", "words.json"]
)
def test_a_file_that_was_never_fetched_is_called_a_pointer(model, name):
    (model / name).write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 3\n")
    with pytest.raises(ValueError, match=rf"{re.escape(name)}' is a Git LFS pointer, .*git lfs pull"):
        weights_of(model)


def test_a_config_that_was_edited_is_refused_until_its_digest_is_taken_out(model):
    config_json = config_of(model)
    config_json["config"]["model"]["decoder"]["heads"] = 8
    (model / "config.json").write_text(json.dumps(config_json))
    with pytest.raises(ValueError, match=r'config\.json.* is not as it was written.* out of "sha256"'):
        read_folder(model)
    del config_json["sha256"]["config.json"]
    (model / "config.json").write_text(json.dumps(config_json))
    assert read_folder(model).config["model"]["decoder"]["heads"] == 8


def test_tasks_that_a_model_learned_before_are_read_and_others_refused(model):
    config_json = config_of(model)
    del config_json["sha256"]["config.json"]
    (model / "config.json").write_text(json.dumps(config_json | {"learned": ["m2t"]}))
    assert read_folder(model).learned == ("m2t",)
    (model / "config.json").write_text(json.dumps(config_json | {"learned": ["juggling"]}))
    with pytest.raises(ValueError, match=r"config\.json' is damaged, or was edited: learned is 'juggling'"):
        read_folder(model)


def test_spaces_and_order_of_a_config_are_no_edit(model):
    config_json = config_of(model)
    (model / "config.json").write_text(json.dumps(dict(reversed(config_json.items())), indent=4))
    assert weights_of(model)[:2] == ("tune", 7)


def test_a_model_without_digests_is_read_with_a_note(model, capsys):
    config_json = config_of(model)
    del config_json["sha256"]
    (model / "config.json").write_text(json.dumps(config_json))
    assert weights_of(model)[:2] == ("tune", 7)
    assert "has no digests of its files, so damage may go unnoticed" in capsys.readouterr().err


def test_variables_of_other_sizes_or_without_values_are_refused_by_name(model):
    folder = read_folder(model)
    _, variables = random_variables(folder)
    check_variables("here", variables, folder)
    head = {**folder.config["model"]["head"], "width": 64}
    wide = replace(folder, config={**folder.config, "model": {**folder.config["model"], "head": head}})
    with pytest.raises(ValueError, match=r"here has head/.* of shape .*, and the config's sizes say"):
        check_variables("here", variables, wide)
    variables.params["vae"]["final"]["bias"][0] = np.nan
    with pytest.raises(ValueError, match="vae/final/bias holds values that are not finite"):
        check_variables("here", variables, folder)
    with pytest.raises(ValueError, match="here has no decoder/"):
        check_variables("here", variables.replace(params={"head": variables.params["head"]}), folder)


@pytest.mark.parametrize(
    ("task", "question", "message"),
    [
        ("t2m", "Show it", "has no <Caption_Placeholder>"),
        ("t2m", "<Caption_Placeholder> <Motion_Placeholder>", "placeholders for 1 motions, where 0 are given"),
        ("m2t", "What?", "placeholders for 0 motions, where 1 are given"),
        ("m2t", "<Motion_Placeholder> <Pose_Placeholder>", "the unknown placeholder <Pose_Placeholder>"),
        ("m2t", "<Motion_Placeholder> <motion_latent_holder>", "holds <motion_latent_holder>"),
        ("dance", "x", "there is no such task"),
        ("m2t", 5, r"questions\.m2t is 5; it must be text"),
    ],
)
def test_a_question_has_the_placeholders_that_its_task_fills(task, question, message):
    with pytest.raises(ValueError, match=message):
        check_question(task, question, find_system("motiongpt3"))
