"""The PyTorch reader of an exported MotionGPT answers as the JAX model does."""

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file, save_file

import motiongpt3_jax
from motiongpt3_jax.inference.exported import write_exported
from motiongpt3_jax.inference.folder import ModelFolder, MotionStatistics
from motiongpt3_jax.systems.motion_codes.codes import codes_of_clips
from motiongpt3_jax.systems.motion_codes.losses import decode_codes
from motiongpt3_jax.systems.motion_codes.modules import Modules
from motiongpt3_jax.systems.motiongpt.build import build_config
from motiongpt3_jax.systems.motiongpt.name_table import name_table
from motiongpt3_jax.systems.motiongpt.official import from_official
from motiongpt3_jax.tensors.checkpoint_files import write_checkpoint
from tests.extras import torch_module
from tests.systems.motiongpt.official_weights import fill_state
from tests.systems.motiongpt.small import SENTENCES, spec_of

pytestmark = pytest.mark.torch
torch = torch_module()
torch.set_num_threads(1)

from motiongpt3_jax.systems.motiongpt import torch_reader  # noqa: E402

FRAMES = 263


@pytest.fixture(scope="module", params=["t5", "gpt2"])
def both(request, tmp_path_factory):
    """One model in JAX and in PyTorch, its official state dict, and its folder."""
    spec, rng = spec_of(request.param), np.random.default_rng(9)
    statistics = MotionStatistics(
        rng.normal(size=FRAMES).astype(np.float32),
        rng.uniform(0.5, 1.5, FRAMES).astype(np.float32),
        np.zeros((22, 3), np.float32),
    )
    folder = ModelFolder(Path("nowhere"), spec.config, spec.tokenizer, statistics)
    config = build_config(folder.spec)
    state = fill_state(name_table(config))
    # Spread over all codes, of which filled weights alone would use few.
    state["vae.quantizer.codebook"] = rng.normal(size=state["vae.quantizer.codebook"].shape).astype(np.float32)
    variables = from_official(state, config)
    path = tmp_path_factory.mktemp("exported")
    write_exported(path, folder, variables, ("t2m", 1))
    return SimpleNamespace(
        path=path,
        state=state,
        variables=variables,
        modules=Modules(config),
        jax=motiongpt3_jax.load(path),
        torch=torch_reader.MotionGPT.from_folder(path),
        lm=request.param,
    )


def clip(frames):
    return np.random.default_rng(frames).normal(size=(frames, FRAMES)).astype(np.float32)


def test_the_state_dict_has_the_official_names_and_numbers(both):
    state = both.torch.state_dict()
    assert state.keys() == both.state.keys()
    for name, tensor in both.state.items():
        np.testing.assert_array_equal(state[name], tensor, err_msg=name)


def test_codes_of_a_clip_and_their_features_are_the_same(both):
    features, frames = clip(22)[None], np.array([22])
    wanted = jax.jit(partial(codes_of_clips, both.modules))(both.variables, features, frames)[0]
    codes = both.torch.vae.encode(torch.from_numpy(features[0]))
    np.testing.assert_array_equal(codes, wanted)
    assert len({*codes.tolist()}) > 2
    vectors = both.variables.state["codebook"]["table"][np.asarray(wanted)][None]
    wanted = jax.jit(partial(decode_codes, both.modules))(both.variables, vectors, np.array([6]))[0]
    with torch.no_grad():
        np.testing.assert_allclose(both.torch.vae.decode(codes), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore::motiongpt3_jax.Note")
@pytest.mark.parametrize("seconds", [1.1, None])
def test_greedy_motions_are_the_same(both, seconds):
    wanted = both.jax.generate(SENTENCES[0], seconds, temperature=0.0).joints[0]
    joints = both.torch.generate(SENTENCES[0], seconds, temperature=0.0)
    assert joints.shape == wanted.shape
    assert len(joints) == 22 or not seconds
    np.testing.assert_allclose(joints, wanted, rtol=1e-3, atol=1e-3)


def test_greedy_captions_are_the_same(both):
    clips = [clip(frames) for frames in (13, 30)]
    wanted = both.jax.caption_features(clips, max_new=12)
    assert [both.torch.caption(x, most=12) for x in clips] == wanted
    assert all(wanted)


def test_an_official_checkpoint_takes_the_place_of_the_weights(both, tmp_path):
    others = {"metrics.a": np.zeros(2, np.float32), "_losses.b": np.zeros(2, np.float32)}
    state = {name: 2 * tensor for name, tensor in both.state.items()}
    write_checkpoint(tmp_path / "motiongpt.tar", state | others)
    model = torch_reader.MotionGPT.from_folder(both.path, tmp_path / "motiongpt.tar")
    np.testing.assert_array_equal(model.vae.quantizer.codebook, state["vae.quantizer.codebook"])


def test_a_lost_parameter_is_named_and_so_is_one_too_many(both, tmp_path):
    shutil.copytree(both.path, tmp_path, dirs_exist_ok=True)
    tensors = load_file(both.path / "model.safetensors")
    save_file(tensors | {"more/kernel": np.zeros(2, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="hold more/kernel, for which this model has no place"):
        torch_reader.MotionGPT.from_folder(tmp_path)
    lost = next(path for path in flatten_dict(both.variables.params, sep="/") if path.endswith("attention_norm/scale"))
    save_file({path: x for path, x in tensors.items() if path != lost}, tmp_path / "model.safetensors")
    with pytest.raises(RuntimeError, match=r"Missing.*(layer_norm|ln_1)\.weight"):
        torch_reader.MotionGPT.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (lambda model: model.generate("a", seconds=99.0), "1980 frames were asked for; this model makes 1 to 196"),
        (lambda model: model.generate("walk " * 300), "tokens are too many: this model reads and writes up to"),
        (lambda model: model.caption(np.zeros((30, 22, 3))), r"\(30, 22, 3\); expected raw features, 1 to 196 frames"),
    ],
)
def test_bad_requests_are_said(both, request_, message):
    with pytest.raises(ValueError, match=message):
        request_(both.torch)


def test_a_model_with_fresh_parts_says_so_and_a_folder_without_a_model_too(both, tmp_path):
    with pytest.raises(FileNotFoundError, match="no exported model at"):
        torch_reader.MotionGPT.from_folder(tmp_path)
    shutil.copytree(both.path, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"untrained": ["language"]}))
    with pytest.raises(ValueError, match="cannot answer yet; not trained: language"):
        torch_reader.MotionGPT.from_folder(tmp_path).generate("a man")


ALONE = """
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "motiongpt3_jax":
            raise ImportError(f"{name} is not to be imported")

sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_file_alone_makes_a_motion(both, tmp_path):
    script = shutil.copy(torch_reader.__file__, tmp_path / "copy.py")
    options = ["--text", SENTENCES[0], "--seconds", "1.1", "--temperature", "0", "--out", "walk.npy"]
    command = [sys.executable, "-I", "-c", ALONE, script, str(both.path), *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    joints = both.torch.generate(SENTENCES[0], 1.1, temperature=0.0)
    np.testing.assert_allclose(np.load(tmp_path / "walk.npy"), joints, rtol=1e-3, atol=1e-3)
