"""Trees of old parameter paths."""

from typing import NamedTuple

import jax
import numpy as np
import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3
from motiongpt3_jax.systems.motiongpt3.migration import NEW_DECODER_VALUES, upgrade_config, upgrade_tree
from tests.systems.tiny import CONFIG


class Moments(NamedTuple):
    count: int
    mu: dict


def old_block(sign=1):
    """One layer of width 2, two heads of width 1, three hidden units."""
    return {
        "qkv": {
            "kernel": sign * np.array([[[1, 2, 3, 4, 5, 6], [10, 20, 30, 40, 50, 60]]], np.float32),
            "bias": sign * np.array([[7, 8, 9, 10, 11, 12]], np.float32),
        },
        "attention_out": {"kernel": np.array([[[1, 2], [3, 4]]], np.float32), "bias": np.array([[5, 6]], np.float32)},
        "mlp_in": {"kernel": np.arange(6, dtype=np.float32).reshape(1, 2, 3)},
        "mlp_out": {"kernel": np.arange(6, dtype=np.float32).reshape(1, 3, 2)},
        "mlp_norm": {"scale": np.ones((1, 2), np.float32)},
    }


def check_new_block(block, sign=1):
    assert block.keys() == {"q", "k", "v", "o", "up", "down", "mlp_norm"}
    np.testing.assert_array_equal(block["q"]["kernel"], sign * np.array([[[[1], [2]], [[10], [20]]]]))
    np.testing.assert_array_equal(block["k"]["kernel"], sign * np.array([[[[3], [4]], [[30], [40]]]]))
    np.testing.assert_array_equal(block["v"]["kernel"], sign * np.array([[[[5], [6]], [[50], [60]]]]))
    np.testing.assert_array_equal(block["k"]["bias"], sign * np.array([[[9], [10]]]))
    np.testing.assert_array_equal(block["o"]["kernel"], [[[[1, 2]], [[3, 4]]]])
    np.testing.assert_array_equal(block["o"]["bias"], [[5, 6]])
    np.testing.assert_array_equal(block["up"]["kernel"], np.arange(6).reshape(1, 2, 3))
    np.testing.assert_array_equal(block["down"]["kernel"], np.arange(6).reshape(1, 3, 2))


def test_projections_lie_apart_by_heads_and_the_mlp_has_new_names():
    check_new_block(upgrade_tree({"decoder": {"layers": {"text": old_block()}}}, heads=2)["decoder"]["layers"]["text"])


def test_moments_and_averages_move_with_their_parameters_wherever_they_lie():
    mu = {"decoder": {"layers": {"motion": old_block(-1)}}}
    state = {"optimizer": [{}, (Moments(3, mu), None)], "ema": {"decoder": {"layers": {"text": old_block()}}}}
    new = upgrade_tree(state, heads=2)
    moments = new["optimizer"][1][0]
    assert isinstance(moments, Moments)
    assert moments.count == 3
    check_new_block(moments.mu["decoder"]["layers"]["motion"], -1)
    check_new_block(new["ema"]["decoder"]["layers"]["text"])


def test_what_an_optimizer_does_not_hold_stays_a_hole():
    holes = {"decoder": {"layers": {"motion": {"qkv": {"kernel": None, "bias": np.zeros((1, 6))}, "mlp_in": None}}}}
    block = upgrade_tree(holes, heads=2)["decoder"]["layers"]["motion"]
    assert [block[name]["kernel"] for name in "qkv"] == [None] * 3
    assert block["v"]["bias"].shape == (1, 2, 1)
    assert block["up"] is None


def test_parameters_outside_the_decoders_layers_keep_their_names():
    layer = {"block": {"mlp_in": {"kernel": np.ones((2, 3))}, "self_attention": {"in_kernel": np.ones((2, 6))}}}
    tree = {
        "vae": {"decoder": {"inputs": layer, "middle": layer}},
        "head": {"blocks": {"mlp_out": {"bias": np.ones(2)}}},
    }
    new = upgrade_tree(tree, heads=2)
    assert jax.tree.structure(new) == jax.tree.structure(tree)
    jax.tree.map(np.testing.assert_array_equal, new, tree)


def test_upgraded_parameters_have_the_paths_and_shapes_of_fresh_ones():
    fresh = jax.eval_shape(MotionGPT3(CONFIG).init, jax.random.key(0)).params
    old = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), fresh)
    for block in old["decoder"]["layers"].values():
        kernels, biases = ([block[name][leaf] for name in "qkv"] for leaf in ("kernel", "bias"))
        packed = np.concatenate([x.reshape(*x.shape[:2], -1) for x in kernels], axis=-1)
        out = block.pop("o")
        block["qkv"] = {"kernel": packed, "bias": np.concatenate([x.reshape(len(x), -1) for x in biases], axis=-1)}
        flat = out["kernel"].reshape(len(out["kernel"]), -1, out["kernel"].shape[-1])
        block["attention_out"] = {**out, "kernel": flat}
        block["mlp_in"], block["mlp_out"] = block.pop("up"), block.pop("down")
        for name in "qkv":
            del block[name]
    new = upgrade_tree(old, CONFIG.decoder.heads)
    assert jax.tree.map(np.shape, new) == jax.tree.map(np.shape, fresh)


@pytest.mark.parametrize(("value", "policy"), [(False, "none"), (True, "full"), ("dots", "dots")])
def test_a_config_from_before_policies_of_rematerialization_had_names_reads_as_it_was_meant(value, policy):
    model = {"decoder": {"width": 8, "remat": value}, "vae": {"width": 4}}
    new = upgrade_config({"model": model, "seed": 0}, 2)
    decoder = {**NEW_DECODER_VALUES, "width": 8, "remat": policy}
    assert new == {"model": {"decoder": decoder, "vae": {"width": 4, "remat": "none"}}, "seed": 0}
    assert upgrade_config(new, 2) == new


def test_a_config_from_before_attention_had_a_dropout_of_its_own_keeps_that_of_all_parts():
    old = {"model": {"dropout": 0.1}, "data": {"source": "procedural"}}
    new = upgrade_config(old, 2)
    added = {"attention_dropout": 0.1, "attention": "auto", "times": "uniform", "holders": 4, "lora": {}}
    assert new == {"model": {"dropout": 0.1, **added}, "data": {"source": "procedural", "latents": "online"}}
    kept = {"model": {"dropout": 0.1, **added, "attention_dropout": 0.0}, "data": {"latents": "cached"}}
    assert upgrade_config(kept, 2) == kept


def test_a_decoder_from_before_there_were_families_is_gpt2s():
    model = {"decoder": {"width": 8}}
    assert upgrade_config({"model": model}, 2)["model"]["decoder"].items() >= NEW_DECODER_VALUES.items()
    decoder = load_config("motiongpt3:base").model.decoder.to_dict()
    assert decoder.items() >= NEW_DECODER_VALUES.items()
    chosen = {"decoder": {"family": "llama", "kv_heads": 2}}
    assert upgrade_config({"model": chosen}, 2)["model"]["decoder"]["family"] == "llama"
