"""Imports as a user makes them, from checkpoints with filler weights."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.inference.engine import Engine, make_system
from motiongpt3_jax.inference.folder import read_folder
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.systems.motiongpt3.build import build_config
from motiongpt3_jax.systems.motiongpt3.name_table import name_table
from motiongpt3_jax.systems.motiongpt3.official import to_official
from motiongpt3_jax.tensors.checkpoint_files import read_state_dict, write_checkpoint
from motiongpt3_jax.text import train_tokenizer
from tests.commands.conftest import call
from tests.golden import fill
from tests.inference.models import exported_model
from tests.quick import one_quick

VOCABULARY = 257
CONFIG = ("--config", "motiongpt3:test:official")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Arguments that a checkpoint of the smallest config needs: its tokenizer and its statistics."""
    folder = tmp_path_factory.mktemp("given")
    train_tokenizer(["a person walks"], VOCABULARY).save(folder / "tokenizer")
    rng = np.random.default_rng(0)
    np.save(folder / "Mean.npy", rng.normal(size=263).astype(np.float32))
    np.save(folder / "Std.npy", rng.uniform(0.5, 2, 263).astype(np.float32))
    return {"--tokenizer": folder / "tokenizer", "--statistics": folder}


def flat(arguments):
    return [word for pair in arguments.items() for word in pair]


def filled_state(*overrides):
    """An official state dict with filler weights."""
    model = load_config("motiongpt3:test", overrides).model.to_dict()
    config = build_config(model, features=263, vocabulary=VOCABULARY)
    table = name_table(config)
    state = {key: fill(key, shape) for key, shape in table.shapes.items() if key not in table.tied}
    return state | {copy: state[key] for copy, key in table.tied.items()}


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor, err_msg=name, strict=True)


VARIANTS = {
    "as it is": (),
    "a narrow motion branch": ("model.decoder.motion_factor=0.5",),
    "streams apart": ("model.decoder.attention_mode=none", "model.decoder.layers=3"),
    "streams that meet at the end": ("model.decoder.attention_mode=last_third", "model.decoder.motion_factor=0.5"),
    "every other layer": ("model.decoder.attention_mode=odd", "model.decoder.layers=1", "model.vae.layers=7"),
    "three latents": ("model.vae.latents=3", "model.vae.max_frames=99", "model.head.depth=1"),
    "other widths": ("model.vae.width=16", "model.vae.mlp_width=24", "model.head.width=8", "model.head.time=6"),
}


@pytest.mark.torch
@one_quick("variant", list(VARIANTS), "streams that meet at the end")
def test_a_checkpoint_comes_back_bit_by_bit_and_its_sizes_need_not_be_said(variant, given, tmp_path):
    state = filled_state(*VARIANTS[variant])
    write_checkpoint(tmp_path / "official.ckpt", state)
    mode = [f"--config.{text}" for text in VARIANTS[variant] if "attention_mode" in text]
    asked = ("--from", tmp_path / "official.ckpt", "--out", tmp_path / "model", *CONFIG, *flat(given), *mode)
    status, out, error = call("import", *asked)
    assert status == 0, error
    assert f"motiongpt3 generate --model {tmp_path / 'model'}" in out
    model = read_folder(tmp_path / "model")
    expected = load_config("motiongpt3:test:official", VARIANTS[variant]).model.to_dict()
    assert json.loads(json.dumps(model.config["model"])) == json.loads(json.dumps(expected))
    call("export", "--model", tmp_path / "model", "--format", "pytorch", "--out", tmp_path / "again.ckpt")
    same(read_state_dict(tmp_path / "again.ckpt"), state)
    np.testing.assert_array_equal(np.load(tmp_path / "again_Mean.npy"), np.load(given["--statistics"] / "Mean.npy"))
    # What an export wrote needs no statistics to be named.
    asked = ("--from", tmp_path / "again.ckpt", "--out", tmp_path / "third", *CONFIG, *mode)
    status, _, error = call("import", *asked, "--tokenizer", given["--tokenizer"])
    assert status == 0, error
    same(load_file(tmp_path / "third/model.safetensors"), load_file(tmp_path / "model/model.safetensors"))


def imported(state, given, tmp_path, *more):
    save_file({name: np.ascontiguousarray(x) for name, x in state.items()}, tmp_path / "given.safetensors")
    asked = ("--from", tmp_path / "given.safetensors", "--out", tmp_path / "model", *CONFIG, *flat(given), *more)
    return call("import", *asked)


def test_wrappers_and_the_evaluation_and_a_missing_null_condition_are_no_matter(given, tmp_path):
    state = filled_state()
    del state["lm.fake_latent"]
    extra = {"metrics.TM2TMetrics.t2m_textencoder.hidden": np.zeros(2, np.float32)}
    status, _, error = imported({f"module.{n}": x for n, x in (state | extra).items()}, given, tmp_path)
    assert status == 0, error
    engine = Engine.load(tmp_path / "model")
    assert not np.any(engine.variables.params["null_condition"])
    np.testing.assert_array_equal(
        engine.variables.params["vae"]["embed"]["kernel"], state["vae.skel_embedding.weight"].T
    )
    np.testing.assert_allclose(engine.variables.state["latent_square"], 0.8457**-2)


def test_rough_numbers_become_float32_and_it_is_said(given, tmp_path):
    state = {name: x.astype(np.float16) for name, x in filled_state().items()}
    status, out, _ = imported(state, given, tmp_path)
    assert status == 0
    assert f"{len(state)} of {len(state)} tensors are float16 in the file, and become float32" in out
    found = load_file(tmp_path / "model" / "model.safetensors")
    np.testing.assert_array_equal(found["vae/final/kernel"], state["vae.final_layer.weight"].T.astype(np.float32))


def test_numbers_that_are_not_finite_are_refused_before_anything_is_written(given, tmp_path):
    state = filled_state()
    state["vae.final_layer.weight"] = np.full_like(state["vae.final_layer.weight"], np.nan)
    status, _, error = imported(state, given, tmp_path)
    assert status == 2
    assert "vae.final_layer.weight hold values that are not finite" in error
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_a_vae_of_mld_is_a_beginning(given, tmp_path):
    state = filled_state("model.vae.layers=5")
    vae = {f"motion_vae.{name[4:]}": x for name, x in state.items() if name.startswith("vae.")}
    status, out, error = imported(vae | {"denoiser.query_pos.pe": np.zeros(3, np.float32)}, given, tmp_path)
    assert status == 0, error
    assert read_folder(tmp_path / "model").untrained == ("text", "motion")
    assert "imported: vae; next: motiongpt3 train" in out
    assert "--config.model.vae.layers=5" in out
    assert "--config.run=\"('text', 'generate', 'align_bare')\"" in out
    model = read_folder(tmp_path / "model")
    params = read_variables(model)[2].params
    official = to_official(params, make_system(model).config, prefix="vae.")
    same(official, {name: x for name, x in state.items() if name.startswith("vae.")})
    status, _, error = call("generate", "--model", tmp_path / "model", "--text", "a man", "--out", tmp_path / "made")
    assert status == 2
    assert "cannot answer yet; not trained: text, motion" in error


def gpt2(width, layers):
    """Filler tensors by GPT-2's own names."""
    shapes = {
        "wte.weight": (VOCABULARY, width),
        "wpe.weight": (40, width),
        "ln_f.weight": (width,),
        "ln_f.bias": (width,),
    }
    sizes = {"attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width)}
    sizes |= {"mlp.c_fc": (width, 4 * width), "mlp.c_proj": (4 * width, width), "ln_1": (width,), "ln_2": (width,)}
    for layer in range(layers):
        for name, shape in sizes.items():
            shapes |= {f"h.{layer}.{name}.weight": shape, f"h.{layer}.{name}.bias": shape[-1:]}
    return {name: fill(name, shape) for name, shape in shapes.items()}


@pytest.mark.slow
def test_a_gpt2_of_any_size_is_a_beginning_with_the_tokenizer_beside_it_and_no_statistics(tmp_path):
    state = gpt2(128, 3)
    train_tokenizer(["a person walks"], VOCABULARY).save(tmp_path / "gpt2")
    save_file(state, tmp_path / "gpt2" / "model.safetensors")
    status, out, error = call("import", "--from", tmp_path / "gpt2", "--out", tmp_path / "model", *CONFIG)
    assert status == 0, error
    model = read_folder(tmp_path / "model")
    assert model.untrained == ("vae", "motion")
    assert {**model.config["model"]["decoder"]}.items() >= {"width": 128, "heads": 2, "layers": 3}.items()
    assert "--config.model.decoder.heads=2" in out
    assert "--config.run=\"('vae', 'generate', 'align_bare')\"" in out
    found = load_file(tmp_path / "model" / "model.safetensors")
    np.testing.assert_array_equal(found["vocabulary/text/table"], state["wte.weight"])
    assert found["vocabulary/text/new"].shape == (2, 128)


def test_one_of_our_models_is_taken_as_it_is(tmp_path):
    folder, _ = exported_model(tmp_path / "ours", untrained=("motion",))
    status, _, error = call("import", "--from", tmp_path / "ours", "--out", tmp_path / "model")
    assert status == 0, error
    assert read_folder(tmp_path / "model").config == folder.config
    assert read_folder(tmp_path / "model").untrained == ("motion",)
    same(*(load_file(tmp_path / name / "model.safetensors") for name in ("model", "ours")))


def renamed(state):
    state["vae.encoder.norm.gain"] = state.pop("vae.encoder.norm.weight")


def shortened(state):
    state["vae.final_layer.bias"] = state["vae.final_layer.bias"][:-1]


def untied(state):
    state["lm.language_model.lm_head.weight"] = state["lm.language_model.lm_head.weight"] + 1


def foreign(state):
    state.clear()
    state["bert.weight"] = np.zeros(2, np.float32)


def narrow(state):
    state["vae.skel_embedding.weight"] = np.zeros((32, 251), np.float32)


def headless(state):
    state.clear()
    state.update(gpt2(60, 1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (renamed, "missing vae.encoder.norm.weight (32,); nearest: vae.encoder.norm.gain (32,)"),
        (shortened, "vae.final_layer.bias has shape (262,), expected (263,)"),
        (untied, "lm_head.weight differs from lm.language_model.transformer.wte.weight"),
        (foreign, "are of no known model"),
        (narrow, "has 251 features a frame"),
        (headless, "the decoder is 60 wide; say how many heads it has: --config.model.decoder.heads=N"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(change, said, given, tmp_path):
    state = filled_state()
    change(state)
    status, _, error = imported(state, given, tmp_path)
    assert status == 2
    assert said in error
    assert not (tmp_path / "model").exists()


def test_what_is_missing_is_said(given, tmp_path, monkeypatch):
    status, _, error = imported(filled_state(), {"--tokenizer": given["--tokenizer"]}, tmp_path)
    assert (status, len(error.splitlines())) == (2, 1)
    assert "--statistics is needed: a checkpoint does not hold the mean and deviation" in error
    train_tokenizer(["a person walks about and jumps"], 260).save(tmp_path / "tokenizer")
    status, _, error = imported(filled_state(), given | {"--tokenizer": tmp_path / "tokenizer"}, tmp_path)
    assert status == 2
    assert "has 257 ids, and the tokenizer" in error
    status, _, error = call("import", "--from", "nothing.ckpt", "--out", tmp_path / "model")
    assert status == 2
    assert "--from nothing.ckpt: there is nothing" in error


@pytest.mark.torch
@pytest.mark.slow
def test_the_full_size_takes_less_than_a_minute_and_four_gigabytes(given, tmp_path):
    config = build_config(load_config("motiongpt3:base").model.to_dict(), features=263, vocabulary=VOCABULARY)
    rng = np.random.default_rng(0)
    table = name_table(config)
    state = {key: rng.standard_normal(table.shapes[key], np.float32) for key in table.needed}
    write_checkpoint(tmp_path / "official.ckpt", state)
    asked = ("import", "--from", tmp_path / "official.ckpt", "--out", tmp_path / "model", *flat(given))
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "motiongpt3_jax", *map(str, asked)])
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0
    assert used.ru_maxrss < 4e6, f"{used.ru_maxrss / 1e6:.1f} GB"
    assert time.monotonic() - started < 60
    params = read_variables(read_folder(tmp_path / "model"))[2].params
    official = to_official(params, config)
    same({name: official[name] for name in state}, state)


def test_which_layers_share_attention_is_taken_from_the_command(given, tmp_path):
    mode = "--config.model.decoder.attention_mode=odd"
    assert imported(filled_state(), given, tmp_path, mode)[0] == 0
    assert make_system(read_folder(tmp_path / "model")).config.decoder.shared == (True, False)
