"""A Gemma's checkpoint and tokenizer as the base, which stays where it lies."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.inference.folder import plain, read_folder
from motiongpt3_jax.inference.model import Model
from motiongpt3_jax.inference.on_mesh import put_variables
from motiongpt3_jax.inference.weights import read_variables
from motiongpt3_jax.parallel import make_mesh
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.motionllm.kind import KIND
from motiongpt3_jax.systems.motionllm.parts import PARTS
from motiongpt3_jax.systems.motionllm.tokens import TOKEN_SPEC
from motiongpt3_jax.systems.shapes import array_shapes
from motiongpt3_jax.text import load_tokenizer
from motiongpt3_jax.text.tokenizer import blank_tokenizer
from motiongpt3_jax.training.folders import last_folder
from motiongpt3_jax.training.partition import merge
from motiongpt3_jax.training.references import references_of
from tests.commands.conftest import call
from tests.systems.gemma import GEMMA, write_checkpoint
from tests.text.gemma_tokenizer import gemma_folder

BLOCKS = (
    "model.language.layers=2",
    *(line.replace("model.decoder", "model.language") for line in GEMMA if "motion_factor" not in line),
)
IDS = 300


def test_all_of_the_base_comes_from_its_files_and_nothing_else(tmp_path):
    tensors = write_checkpoint(tmp_path, IDS)
    spec = ModelSpec(plain(load_config("motionllm:test", BLOCKS).to_dict()), 263, blank_tokenizer(TOKEN_SPEC, IDS))
    params = KIND.weights.pretrained(str(tmp_path), spec)
    shapes = array_shapes(KIND, spec)
    found = {path: x.shape for path, x in flatten_dict(params, sep="/").items()}
    assert found == {path: shape for path, shape in shapes.items() if re.fullmatch(PARTS["language"], path)}
    scale = np.asarray(params["decoder"]["layers"]["tokens"]["k_norm"]["scale"])
    np.testing.assert_array_equal(scale[1], tensors["model.layers.1.self_attn.k_norm.weight"])
    names = [path.name for path in KIND.weights.pretrained_files(str(tmp_path))]
    assert names == ["model-0.safetensors", "model-1.safetensors"]
    # One of other blocks is refused, with what to set.
    other = ModelSpec(plain(load_config("motionllm:test").to_dict()), 263, blank_tokenizer(TOKEN_SPEC, IDS))
    with pytest.raises(UserError, match="set the family to gemma3"):
        KIND.weights.pretrained(str(tmp_path), other)


@pytest.mark.parametrize("mesh", [None, 1])
def test_a_model_that_answers_holds_its_base_in_its_dtype_and_reads_it_where_it_is_put(tmp_path, mesh):
    tensors = write_checkpoint(tmp_path, IDS)
    config = plain(load_config("motionllm:test", (*BLOCKS, "model.base_dtype=bfloat16")).to_dict())
    spec = ModelSpec(config, 263, blank_tokenizer(TOKEN_SPEC, IDS))
    system = KIND.make_system(spec)
    fresh = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), system.shapes)
    stored = fresh.replace(params=merge(KIND.weights.pretrained(str(tmp_path), spec), fresh.params))
    placed = put_variables(mesh and make_mesh(1, 1, 1), system, stored, "a run")
    arrays, fresh_arrays = flatten_dict(placed.params, sep="/"), flatten_dict(fresh.params, sep="/")
    for path, array in arrays.items():
        base = re.fullmatch(PARTS["language"], path)
        assert array.dtype == ("bfloat16" if base else fresh_arrays[path].dtype), path
        assert isinstance(array, jax.Array) or (mesh is None and not base), path
    table = np.asarray(arrays["vocabulary/table"], np.float32)
    np.testing.assert_array_equal(table, tensors["model.embed_tokens.weight"].astype(table.dtype).astype(jnp.bfloat16))


@pytest.mark.slow
def test_a_run_refers_to_its_base_and_holds_adapters_and_rows_alone(tmp_path):
    place = gemma_folder(tmp_path / "gemma")
    tensors = write_checkpoint(place, load_tokenizer(place, TOKEN_SPEC).base_vocabulary)
    options = (*BLOCKS, f"pretrained={place}", f"tokenizer={place}", "stages.t2m.sample_every=0")
    options = (*options, "model.base_dtype=bfloat16")
    values = [f"--config.{option}" for option in options]
    status, _, error = call("train", "--config", "motionllm:test", *values, "--workdir", tmp_path / "run")
    assert status == 0, error
    run = read_folder(tmp_path / "run")
    assert (run.tokenizer.begin, run.tokenizer.end_token) == ("<bos>", "<eos>")
    params = read_variables(run)[2].params
    text = params["decoder"]["layers"]["tokens"]
    np.testing.assert_array_equal(text["q_norm"]["scale"][0], tensors["model.layers.0.self_attn.q_norm.weight"])
    outside = [x for x in references_of(last_folder(run.path, "m2t")) if x.outside]
    assert [x.place for x in outside] == [str(place)]
    paths = flatten_dict(jax.tree.map(np.shape, params), sep="/")
    assert {*outside[0].paths} == {path for path in paths if re.fullmatch(PARTS["language"], path)}
    # It answers as the exported model does, which has all arrays in one file.
    assert call("export", "--model", run.path, "--format", "safetensors", "--out", tmp_path / "out")[0] == 0
    before, after = (Model.load(path).generate("a person walks", frames=20) for path in (run.path, tmp_path / "out"))
    np.testing.assert_array_equal(before.joints, after.joints)
