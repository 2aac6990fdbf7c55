"""MotionGPT's official state dicts in and out."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from motiongpt3_jax.models import FLAN_T5
from motiongpt3_jax.systems.motion_codes.config import CodeModelConfig
from motiongpt3_jax.systems.motion_codes.system import CodeModel
from motiongpt3_jax.systems.motiongpt.build import build_config
from motiongpt3_jax.systems.motiongpt.name_table import T5_TIED, language_table, name_table
from motiongpt3_jax.systems.motiongpt.official import from_official, to_official
from motiongpt3_jax.tensors.name_table import from_state_dict
from tests.golden import MOTIONGPT
from tests.models import published_vqvae
from tests.systems.motiongpt.official_weights import fill_state, random_arrays
from tests.systems.motiongpt.small import spec_of


@pytest.fixture(scope="module", params=["t5", "gpt2"], name="config")
def _config(request):
    config = build_config(spec_of(request.param))
    deep = {"layers": 3, "decoder_layers": 2} if request.param == "t5" else {"layers": 3, "shared": (True,) * 3}
    return replace(config, language=replace(config.language, **deep))


def test_a_state_dict_comes_back_bit_by_bit(config):
    state = fill_state(name_table(config))
    back = to_official(from_official(state, config), config)
    assert back.keys() == state.keys()
    for key, tensor in state.items():
        np.testing.assert_array_equal(back[key], tensor, err_msg=key, strict=True)
        assert back[key].flags.c_contiguous
    for copy, key in name_table(config).tied.items():
        assert back[copy] is back[key]


def test_variables_are_the_systems_own_and_come_back_bit_by_bit(config):
    shapes = jax.eval_shape(CodeModel(config).init, jax.random.key(0))
    variables = random_arrays(shapes)
    back = from_official(to_official(variables, config), config)
    assert jax.tree.structure(back) == jax.tree.structure(shapes)
    assert jax.tree.map(np.shape, back) == jax.tree.map(np.shape, shapes)
    jax.tree.map(np.testing.assert_array_equal, back.params, variables.params)
    np.testing.assert_array_equal(back.state["codebook"]["table"], variables.state["codebook"]["table"])


def test_a_codebook_without_its_averages_goes_on_from_its_vectors(config):
    codebook = from_official(fill_state(name_table(config)), config).state["codebook"]
    np.testing.assert_array_equal(codebook["sums"], codebook["table"])
    np.testing.assert_array_equal(codebook["counts"], np.ones(config.vqvae.codes))
    assert codebook["initialised"].dtype == bool
    assert codebook["initialised"]


@pytest.mark.golden
def test_the_full_size_names_shapes_and_copies_are_the_official_ones():
    manifest = MOTIONGPT.json("e2e.manifest")
    ids = manifest["lm.language_model.shared.weight"]["shape"][0]
    vqvae, new = published_vqvae.CONFIG, published_vqvae.CONFIG.codes + 3
    table = name_table(CodeModelConfig(vqvae, True, FLAN_T5["small"], ids - new, new))
    assert table.shapes == {key: tuple(entry["shape"]) for key, entry in manifest.items()}
    assert table.tied == {key: entry["alias_of"] for key, entry in manifest.items() if "alias_of" in entry}


def test_ids_of_motions_are_the_rows_behind_those_of_words():
    config = build_config(spec_of("t5"))
    state = fill_state(name_table(config))
    vocabulary = from_official(state, config).params["vocabulary"]
    for key, (words, motions) in {"shared": ("table", "new"), "lm_head": ("head", "new_head")}.items():
        rows = state[f"lm.language_model.{key}.weight"]
        np.testing.assert_array_equal(vocabulary[words], rows[: config.words])
        np.testing.assert_array_equal(vocabulary[motions], rows[config.words :])
        assert len(vocabulary[motions]) == config.new_ids >= config.vqvae.codes + 3


def test_convolutions_and_projections_are_turned_and_heads_become_an_axis():
    config = build_config(spec_of("t5"))
    state, t5 = fill_state(name_table(config)), config.language
    params = from_official(state, config).params
    kernel = params["vqvae"]["decoder"]["stack_1"]["block_1"]["dilated"]["kernel"]
    np.testing.assert_array_equal(kernel, state["vae.decoder.model.3.0.model.1.conv1.weight"].transpose(2, 1, 0))
    block, first = "lm.language_model.decoder.block.0.layer", slice(t5.head_width, 2 * t5.head_width)
    layer = params["t5"]["decoder"]["layers"]["target"]
    query, out = (state[f"{block}.1.EncDecAttention.{name}.weight"] for name in "qo")
    np.testing.assert_array_equal(layer["cross"]["q"]["kernel"][0][:, 1], query.T[:, first])
    np.testing.assert_array_equal(layer["cross"]["o"]["kernel"][0][1], out.T[first])
    np.testing.assert_array_equal(layer["gate"]["kernel"][0], state[f"{block}.2.DenseReluDense.wi_0.weight"].T)


def test_a_part_is_read_and_written_alone(config):
    state = fill_state(name_table(config))
    part = from_official(state, config, "vae.")
    assert part.params.keys() == {"vqvae"}
    assert to_official(part, config, "vae.").keys() == {key for key in state if key.startswith("vae.")}
    assert from_official(state, config, "lm.").state == {}


def test_copies_may_be_left_out_but_may_not_differ(config):
    state, tied = fill_state(name_table(config)), name_table(config).tied
    alone = from_official({key: tensor for key, tensor in state.items() if key not in tied}, config)
    jax.tree.map(np.testing.assert_array_equal, alone, from_official(state, config))
    copy, key = next(iter(tied.items()))
    with pytest.raises(ValueError, match=f"^{copy} differs from {key}; the model shares one table"):
        from_official(state | {copy: state[copy] + 1}, config)


def test_one_error_names_everything_that_does_not_fit(config):
    state = fill_state(name_table(config))
    state["vae.encoder.model.0.gain"] = state.pop("vae.encoder.model.0.bias")
    state["vae.quantizer.codebook"] = state["vae.quantizer.codebook"][:-1]
    with pytest.raises(ValueError, match="1 missing, 1 unexpected, 1 of another shape") as caught:
        from_official(state, config)
    assert "vae.quantizer.codebook has shape (15, 32), expected (16, 32)" in str(caught.value)


def test_a_language_model_without_further_rows_has_no_new_ids():
    config = build_config(spec_of("t5"))
    table = language_table(config.language, words=7, new=0)
    params = from_state_dict(fill_state(table), table)
    assert params["vocabulary"].keys() == {"table", "head"}
    assert params["vocabulary"]["table"].shape == (7, config.language.width)
    assert table.tied == T5_TIED
