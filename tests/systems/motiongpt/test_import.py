"""Checkpoints of the official MotionGPT, and of its parts, as a user imports and exports them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import motiongpt3_jax
from motiongpt3_jax.commands import import_ as command
from motiongpt3_jax.inference.folder import read_folder
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.interop.import_model import import_model, next_step
from motiongpt3_jax.systems.motion_codes.vqvae_names import AVERAGES_LEFT_OUT, WITHOUT_AVERAGES
from motiongpt3_jax.systems.motiongpt.build import build_config
from motiongpt3_jax.systems.motiongpt.importer import MotionGPTImporter
from motiongpt3_jax.systems.motiongpt.name_table import LANGUAGE, name_table
from motiongpt3_jax.systems.motiongpt.official import to_official
from motiongpt3_jax.tensors.checkpoint_files import read_state_dict, write_checkpoint
from tests.systems.motiongpt.official_weights import fill_state
from tests.systems.motiongpt.small import spec_of

EVALUATION = {"metrics.TM2TMetrics.t2m_textencoder.hidden": np.zeros(2, np.float32)}
CONFIG = "motiongpt:test:official"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Statistics, and a tokenizer in a folder of its own."""
    folder, rng = tmp_path_factory.mktemp("given"), np.random.default_rng(0)
    spec_of("t5").tokenizer.save(folder / "tokenizer")
    np.save(folder / "Mean.npy", rng.normal(size=263).astype(np.float32))
    np.save(folder / "Std.npy", rng.uniform(0.5, 2, 263).astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def state():
    """An official state dict of another size than any config, with filler weights."""
    spec = spec_of("t5")
    model = spec.config["model"]
    vqvae = {**model["vqvae"], "width": 12, "code_width": 10, "codes": 7, "depth": 1}
    language = {**model["language"], "width": 24, "layers": 2, "heads": 3, "head_width": 4, "mlp_width": 20}
    config = {**spec.config, "model": {**model, "vqvae": vqvae, "language": language}}
    return fill_state(name_table(build_config(replace(spec, config=config, features=263))))


def save(state, path):
    save_file({name: np.ascontiguousarray(x) for name, x in state.items()}, path)
    return path


def imported(source, folder, out, config=CONFIG, overrides=()):
    return import_model(source, out, config, overrides, tokenizer=folder / "tokenizer", statistics=folder)


@pytest.mark.torch
def test_a_checkpoint_comes_back_bit_by_bit_without_any_config(state, folder, tmp_path):
    write_checkpoint(tmp_path / "motiongpt.tar", state | EVALUATION)
    result = imported(tmp_path / "motiongpt.tar", folder, tmp_path / "model", config="")
    assert result.config == "motiongpt:base:official"
    assert result.notes == ["left out: 1 tensors of the official evaluation (metrics.*)", WITHOUT_AVERAGES]
    export = motiongpt3_jax.export_model(tmp_path / "model", tmp_path / "again.ckpt", "pytorch")
    assert export.notes[0] == AVERAGES_LEFT_OUT
    back = read_state_dict(tmp_path / "again.ckpt")
    assert back.keys() == state.keys()
    for name, tensor in state.items():
        np.testing.assert_array_equal(back[name], tensor, err_msg=name, strict=True)
    np.testing.assert_array_equal(np.load(tmp_path / "again_Mean.npy"), np.load(folder / "Mean.npy"))
    # What an export wrote needs no statistics to be named.
    import_model(tmp_path / "again.ckpt", tmp_path / "third", tokenizer=folder / "tokenizer")
    first, third = (load_file(tmp_path / name / "model.safetensors") for name in ("model", "third"))
    assert first.keys() == third.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, third[name], err_msg=name, strict=True)


def test_a_whole_model_is_asked_as_the_official_evaluation_asks(state, folder, tmp_path):
    result = imported(save(state, tmp_path / "whole.safetensors"), folder, tmp_path / "model")
    model = read_folder(tmp_path / "model")
    assert model.questions["t2m"] == "Generate motion: <Caption_Placeholder>"
    assert model.untrained == ()
    assert "motiongpt3 generate --model" in next_step(result.folder, result.config)
    codebook = read_variables(model)[2].state["codebook"]
    assert codebook["initialised"].dtype == bool
    np.testing.assert_array_equal(codebook["table"], state["vae.quantizer.codebook"])
    card = (tmp_path / "model" / "README.md").read_text()
    assert "MotionGPT with a T5 and 7 codes" in card


@pytest.mark.slow
def test_a_vqvae_alone_is_a_beginning(state, folder, tmp_path):
    vae = {f"model.{name}": x for name, x in state.items() if name.startswith("vae.")}
    result = imported(save(vae, tmp_path / "stage1.safetensors"), folder, tmp_path / "model")
    model = read_folder(tmp_path / "model")
    assert model.untrained == ("language",)
    following = next_step(result.folder, result.config)
    assert "imported: tokenizer; next: motiongpt3 train --config motiongpt:test:official" in following
    assert "--config.model.vqvae.codes=7" in following
    assert "--config.run=\"('pretrain', 'instruct', 't2m')\"" in following
    back = to_official(read_variables(model)[2], build_config(model.spec), "vae.")
    for name, tensor in back.items():
        np.testing.assert_array_equal(tensor, vae[f"model.{name}"], err_msg=name)


@pytest.mark.slow
def test_a_t5_folder_is_a_beginning_whose_spare_rows_the_first_codes_start_from(state, folder, tmp_path):
    words = spec_of("t5").tokenizer.size
    t5 = {name.removeprefix(LANGUAGE): x for name, x in state.items() if name.startswith(LANGUAGE)}
    for name in ("shared", "encoder.embed_tokens", "decoder.embed_tokens", "lm_head"):
        t5[f"{name}.weight"] = t5[f"{name}.weight"][: words + 5]
    shutil.copytree(folder / "tokenizer", tmp_path / "t5")
    (tmp_path / "t5" / "config.json").write_text(json.dumps({"model_type": "t5"}))
    save(t5, tmp_path / "t5" / "model.safetensors")
    result = import_model(tmp_path / "t5", tmp_path / "model", CONFIG)
    model = read_folder(tmp_path / "model")
    assert model.untrained == ("tokenizer",)
    assert "'tokenizer', 'pretrain'" in next_step(result.folder, result.config)
    variables = read_variables(model)[2]
    for key, (table, new) in {"shared": ("table", "new"), "lm_head": ("head", "new_head")}.items():
        rows = t5[f"{key}.weight"]
        np.testing.assert_array_equal(variables.params["vocabulary"][table], rows[:words])
        started = variables.params["vocabulary"][new]
        assert len(started) == build_config(model.spec).new_ids
        np.testing.assert_array_equal(started[:5], rows[words:])
        assert started[5:].std() > 0
    assert not variables.state["codebook"]["initialised"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s | {"lm.language_model.decoder.embed_tokens.weight": s["vae.quantizer.codebook"]}, "has shape"),
        (
            lambda s: s | {f"{LANGUAGE}encoder.embed_tokens.weight": s[f"{LANGUAGE}shared.weight"] + 1},
            "encoder.embed_tokens.weight differs from lm.language_model.shared.weight",
        ),
        (lambda s: {k: x for k, x in s.items() if k != "vae.encoder.model.0.bias"}, "1 missing, 0 unexpected"),
        (
            lambda s: s | {f"{LANGUAGE}shared.weight": s[f"{LANGUAGE}shared.weight"][:-1]},
            "ids of the tokenizer and 10 for motions: give the tokenizer that the model was trained with",
        ),
        (lambda s: s | {"vae.more": np.zeros(2, np.float32)}, "0 missing, 1 unexpected"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(state, folder, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        imported(save(change(state), tmp_path / "a.safetensors"), folder, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_another_kind_of_language_model_than_the_configs_is_refused_with_the_config_that_fits():
    gpt2 = {"wte.weight": np.zeros((9, 4)), "wpe.weight": np.zeros((5, 4)), "h.0.attn.c_attn.weight": np.zeros((4, 12))}
    gpt2 |= {"h.0.mlp.c_fc.weight": np.zeros((4, 16))}
    with pytest.raises(ValueError, match=r"is a gpt2, and config\.model\.lm 't5': give --config motiongpt:gpt2:"):
        MotionGPTImporter().identify(gpt2, spec_of("t5").config, ())


def test_a_gpt2_of_an_unusual_width_asks_for_its_heads():
    gpt2 = {"wte.weight": np.zeros((9, 60)), "wpe.weight": np.zeros((5, 60)), "h.0.attn.c_attn.weight": np.zeros(1)}
    gpt2 |= {"h.0.mlp.c_fc.weight": np.zeros((60, 240))}
    config = spec_of("gpt2").config
    with pytest.raises(ValueError, match="the GPT-2 is 60 wide; say how many heads it has: --config"):
        MotionGPTImporter().identify(gpt2, config, ())
    wide = {name: np.zeros((128, *x.shape[1:]) if name.startswith("h.") else (len(x), 128)) for name, x in gpt2.items()}
    identified = MotionGPTImporter().identify(wide, config, ())
    assert identified.config["model"]["language"].items() >= {"heads": 2, "head_width": 64, "width": 128}.items()
    assert "assumed 2 heads" in identified.notes[0]


def test_the_command_takes_no_config():
    arguments = command.parser().parse_args(["--from", "motiongpt.tar", "--out", "model"])
    assert arguments.config == ""
