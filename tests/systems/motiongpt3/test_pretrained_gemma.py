"""A Gemma's checkpoint and tokenizer as the text branch."""

import jax
import numpy as np
import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.inference.folder import read_folder
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3
from motiongpt3_jax.systems.motiongpt3.build import build_config, sizes_of
from motiongpt3_jax.systems.motiongpt3.gpt2 import TEXT
from motiongpt3_jax.systems.motiongpt3.pretrained import pretrained_files, pretrained_text
from motiongpt3_jax.systems.motiongpt3.prompts import TOKEN_SPEC
from motiongpt3_jax.text import load_tokenizer
from motiongpt3_jax.text.tokenizer import blank_tokenizer
from tests.commands.conftest import call
from tests.systems.gemma import GEMMA, write_checkpoint
from tests.systems.llama import paths_of
from tests.text.gemma_tokenizer import gemma_folder

IDS = 300


def test_all_of_the_text_branch_comes_from_both_files_and_nothing_else(tmp_path):
    tensors = write_checkpoint(tmp_path, IDS)
    spec = ModelSpec(load_config("motiongpt3:test", GEMMA).to_dict(), 263, blank_tokenizer(TOKEN_SPEC, IDS))
    params = pretrained_text(str(tmp_path), spec)
    system = MotionGPT3(build_config(spec.config["model"], **sizes_of(spec)))
    shapes = paths_of(jax.eval_shape(system.init, jax.random.key(0)).params)
    assert paths_of(params) == {path: shape for path, shape in shapes.items() if TEXT.fullmatch(path)}
    found = np.asarray(params["decoder"]["layers"]["text"]["k_norm"]["scale"])
    np.testing.assert_array_equal(found[1], tensors["model.layers.1.self_attn.k_norm.weight"])
    assert [path.name for path in pretrained_files(str(tmp_path))] == ["model-0.safetensors", "model-1.safetensors"]


@pytest.mark.slow
def test_a_run_starts_from_a_gemma_and_its_tokenizer(tmp_path):
    place = gemma_folder(tmp_path / "gemma")
    tensors = write_checkpoint(place, load_tokenizer(place, TOKEN_SPEC).base_vocabulary)
    places = (f"--config.pretrained={place}", f"--config.tokenizer={place}", "--config.run=('text', 'generate')")
    blocks = [f"--config.{override}" for override in GEMMA]
    frozen = "--config.stages.generate.trainable=('decoder/.+/motion(/.*)?', 'head/.*', 'null_condition')"
    quiet = "--config.stages.generate.sample_every=0"
    status, _, error = call(
        "train", "--config", "motiongpt3:test", *places, *blocks, frozen, quiet, "--workdir", tmp_path / "run"
    )
    assert status == 0, error
    run = read_folder(tmp_path / "run")
    assert (run.tokenizer.begin, run.tokenizer.end_token) == ("<bos>", "<eos>")
    text = read_variables(run)[2].params["decoder"]["layers"]["text"]
    np.testing.assert_array_equal(text["q_norm"]["scale"][0], tensors["model.layers.0.self_attn.q_norm.weight"])
