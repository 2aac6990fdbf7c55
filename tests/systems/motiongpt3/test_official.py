"""Official state dicts in and out."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from motiongpt3_jax.models import DecoderConfig, HeadConfig, StreamConfig, VaeConfig
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3
from motiongpt3_jax.systems.motiongpt3.name_table import TIED, name_table
from motiongpt3_jax.systems.motiongpt3.official import from_official, to_official
from tests.golden import fill, golden_json
from tests.systems.published import PUBLISHED

COMMON = {"dropout": 0.1, "dtype": "float32"}
TINY = replace(
    PUBLISHED,
    vae=VaeConfig(features=5, width=4, layers=3, heads=2, mlp_width=6, latents=1, max_frames=7, remat="none", **COMMON),
    decoder=DecoderConfig(
        streams=(StreamConfig("text", 8, 12), StreamConfig("motion", 8, 10)),
        layers=2,
        heads=2,
        head_width=4,
        max_positions=9,
        shared=(True, True),
        attention_dropout=0.0,
        attention="reference",
        scan=True,
        remat="none",
        **COMMON,
    ),
    head=HeadConfig(latent=4, condition=8, width=6, depth=2, heads=2, pool_mlp=7, time=4, max_positions=5, **COMMON),
    vocabulary=11,
    new_ids=2,
    motion_ids=6,
)
NARROW = replace(
    TINY,
    decoder=replace(TINY.decoder, streams=(StreamConfig("text", 8, 12), StreamConfig("motion", 4, 10))),
    head=replace(TINY.head, condition=4),
)
DEEP = replace(
    TINY,
    vae=replace(TINY.vae, layers=7, latents=2),
    decoder=replace(TINY.decoder, layers=3, shared=(True,) * 3),
    head=replace(TINY.head, depth=4),
    new_ids=0,
)
CONFIGS = {"tiny": TINY, "narrow motion": NARROW, "deep": DEEP}


def state_of(config):
    table = name_table(config)
    state = {key: fill(key, shape) for key, shape in table.shapes.items() if key not in table.tied}
    return state | {copy: state[key] for copy, key in table.tied.items()}


@pytest.fixture(params=CONFIGS, name="config")
def _config(request):
    return CONFIGS[request.param]


def test_a_state_dict_comes_back_bit_by_bit(config):
    state = state_of(config)
    back = to_official(from_official(state, config), config)
    assert back.keys() == state.keys()
    for key, tensor in state.items():
        np.testing.assert_array_equal(back[key], tensor, err_msg=key)
        assert back[key].flags.c_contiguous


def test_parameters_are_the_systems_own_and_come_back_bit_by_bit(config):
    shapes = jax.eval_shape(MotionGPT3(config).init, jax.random.key(0)).params
    params = jax.tree.map(lambda x: np.random.default_rng(x.size).normal(size=x.shape).astype(x.dtype), shapes)
    back = from_official(to_official(params, config), config)
    assert jax.tree.structure(back) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, back, params)


@pytest.mark.golden
def test_the_full_size_names_and_shapes_are_the_official_ones():
    manifest = golden_json("e2e.manifest")
    assert name_table(PUBLISHED).shapes == {key: tuple(entry["shape"]) for key, entry in manifest.items()}
    assert {key: entry["alias_of"] for key, entry in manifest.items() if "alias_of" in entry} == TIED


def test_a_narrow_motion_stream_has_positions_of_its_own():
    assert state_of(NARROW)["lm.language_model.transformer.wpe_mot.weight"].shape == (9, 4)
    assert "lm.language_model.transformer.wpe_mot.weight" not in state_of(TINY)


def test_linear_layers_are_transposed_and_gpt2_ones_are_not():
    state = state_of(TINY)
    params = from_official(state, TINY)
    linear, conv1d = state["vae.skel_embedding.weight"], state["lm.language_model.transformer.h.1.c_attn.fn.0.weight"]
    np.testing.assert_array_equal(params["vae"]["embed"]["kernel"], linear.T)
    keys, layer = conv1d[:, 8:16], params["decoder"]["layers"]["text"]
    np.testing.assert_array_equal(layer["k"]["kernel"][1].reshape(8, 8), keys)
    conv1d = state["lm.language_model.transformer.h.1.mlp.fn.0.c_fc.weight"]
    np.testing.assert_array_equal(layer["up"]["kernel"][1], conv1d)


def test_heads_of_the_packed_projection_become_an_axis_of_queries_keys_and_values():
    state, inner = state_of(TINY), 8
    bias = state["lm.language_model.transformer.h.0.c_attn.fn.1.bias"]
    out = state["lm.language_model.transformer.h.0.c_proj.fn.1.weight"]
    layer = from_official(state, TINY)["decoder"]["layers"]["motion"]
    for number, name in enumerate("qkv"):
        for head in range(2):
            first = number * inner + head * 4
            np.testing.assert_array_equal(layer[name]["bias"][0, head], bias[first : first + 4])
    np.testing.assert_array_equal(layer["o"]["kernel"][0, 1], out[4:8])


def test_a_part_is_imported_and_exported_alone():
    state = state_of(TINY)
    params = from_official(state, TINY, prefix="vae.")
    assert params.keys() == {"vae"}
    assert to_official(params, TINY, prefix="vae.").keys() == {key for key in state if key.startswith("vae.")}
    assert from_official(state, TINY, prefix="lm.language_model.").keys() == {"decoder", "vocabulary", "motion_head"}


def test_a_prefix_that_names_nothing_is_refused():
    with pytest.raises(ValueError, match=r"no official name begins with 'motion_vae\.'"):
        from_official(state_of(TINY), TINY, prefix="motion_vae.")


def test_without_a_null_condition_it_is_zero():
    state = state_of(TINY)
    del state["lm.fake_latent"]
    assert not from_official(state, TINY)["null_condition"].any()


def test_tied_copies_may_be_left_out_but_may_not_differ():
    state = state_of(TINY)
    one = {key: tensor for key, tensor in state.items() if key not in TIED}
    jax.tree.map(np.testing.assert_array_equal, from_official(one, TINY), from_official(state, TINY))
    state["lm.language_model.lm_head.weight"] = state["lm.language_model.lm_head.weight"] + 1
    with pytest.raises(ValueError, match=r"lm_head\.weight differs from .*wte\.weight"):
        from_official(state, TINY)


def test_what_belongs_to_the_evaluation_is_ignored():
    extra = {"metrics.MMMetrics.t2m_textencoder.hidden": np.zeros(2), "_losses.losses_train.total": np.zeros(())}
    from_official(state_of(TINY) | extra, TINY)


def test_one_error_names_everything_that_does_not_fit():
    state = state_of(TINY)
    state["vae.encoder.norm.gain"] = state.pop("vae.encoder.norm.weight")
    state["vae.final_layer.bias"] = np.zeros(9, np.float32)
    del state["lm.motion_und_head.layers.bias"]
    with pytest.raises(ValueError, match="does not fit the model") as caught:
        from_official(state, TINY)
    message = str(caught.value)
    assert "2 missing, 1 unexpected, 1 of another shape" in message
    assert "missing vae.encoder.norm.weight (4,); nearest: vae.encoder.norm.gain (4,)" in message
    assert "unexpected vae.encoder.norm.gain (4,); nearest: vae.encoder.norm.weight (4,)" in message
    assert "vae.final_layer.bias has shape (9,), expected (5,)" in message
    assert "missing lm.motion_und_head.layers.bias (32,)\n" in message + "\n"


def test_layers_that_do_not_fit_share_a_line_with_their_numbers():
    state = state_of(replace(TINY, decoder=replace(TINY.decoder, layers=4, shared=(True,) * 4)))
    with pytest.raises(ValueError, match="0 missing, 48 unexpected") as caught:
        from_official(state, TINY)
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 24
    assert "  unexpected lm.language_model.transformer.h.*.c_attn.fn.1.bias (24,); * is 2, 3" in lines


def test_names_of_another_code_are_told_beside_ours():
    state = {name.replace("c_attn.fn.0", "attn.c_attn"): tensor for name, tensor in state_of(TINY).items()}
    with pytest.raises(ValueError, match="4 missing, 4 unexpected") as caught:
        from_official(state, TINY)
    h = "lm.language_model.transformer.h"
    said = f"missing {h}.*.c_attn.fn.0.bias (24,); nearest: {h}.0.attn.c_attn.bias (24,); * is 0, 1"
    assert said in str(caught.value)


def test_a_wrapper_around_all_names_is_told_in_one_line():
    with pytest.raises(
        ValueError, match=r"^every name in the state dict begins with 'module\.'; take that away"
    ) as caught:
        from_official({f"module.{name}": tensor for name, tensor in state_of(TINY).items()}, TINY)
    assert len(str(caught.value).splitlines()) == 1


def test_exported_parameters_must_have_the_configs_sizes():
    params = from_official(state_of(TINY), TINY)
    with pytest.raises(ValueError, match=r"latent_tokens|global_motion_token"):
        to_official(params, replace(TINY, vae=replace(TINY.vae, latents=2)))
    with pytest.raises(ValueError, match="the parameters have no 'vae/latent_tokens'"):
        to_official({}, TINY)
