import json

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3
from motiongpt3_jax.systems.motiongpt3.build import build_config
from motiongpt3_jax.systems.motiongpt3.gpt2 import from_gpt2
from motiongpt3_jax.systems.motiongpt3.pretrained import pretrained_text
from motiongpt3_jax.systems.motiongpt3.prompts import TOKEN_SPEC
from motiongpt3_jax.text.tokenizer import blank_tokenizer
from motiongpt3_jax.training.partition import merge

WIDTH, LAYERS, IDS, POSITIONS = 32, 2, 300, 256
SPEC = ModelSpec(load_config("motiongpt3:test").to_dict(), 263, blank_tokenizer(TOKEN_SPEC, IDS))


@pytest.fixture(scope="module")
def config():
    return build_config(SPEC.config["model"], features=263, vocabulary=IDS)


@pytest.fixture
def state():
    """Random tensors by the names of Hugging Face's GPT-2."""
    shapes = {
        "wte.weight": (IDS, WIDTH),
        "wpe.weight": (POSITIONS, WIDTH),
        "ln_f.weight": (WIDTH,),
        "ln_f.bias": (WIDTH,),
    }
    sizes = {"attn.c_attn": (WIDTH, 3 * WIDTH), "attn.c_proj": (WIDTH, WIDTH)}
    sizes |= {"mlp.c_fc": (WIDTH, 4 * WIDTH), "mlp.c_proj": (4 * WIDTH, WIDTH)}
    for layer in range(LAYERS):
        for name, shape in sizes.items():
            shapes |= {f"h.{layer}.{name}.weight": shape, f"h.{layer}.{name}.bias": shape[1:]}
        for name in ("ln_1", "ln_2"):
            shapes |= {f"h.{layer}.{name}.weight": (WIDTH,), f"h.{layer}.{name}.bias": (WIDTH,)}
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_a_checkpoint_becomes_the_text_branch_and_nothing_else(config, state, tmp_path, prefix):
    extra = {"h.0.attn.bias": np.ones((1, 1, 4, 4), np.float32), "lm_head.weight": state["wte.weight"]}
    save_file(
        {prefix * (name != "lm_head.weight") + name: x for name, x in (state | extra).items()},
        tmp_path / "model.safetensors",
    )
    params = jax.tree.map(np.asarray, pretrained_text(str(tmp_path), SPEC))
    jax.tree.map(np.testing.assert_array_equal, params, from_gpt2(state, config))
    np.testing.assert_array_equal(params["vocabulary"]["text"]["table"], state["wte.weight"])
    np.testing.assert_array_equal(params["decoder"]["positions"]["text"], state["wpe.weight"])
    text = params["decoder"]["layers"]["text"]
    queries, keys, values = np.split(state["h.1.attn.c_attn.weight"], 3, axis=1)
    for name, packed in (("q", queries), ("k", keys), ("v", values)):
        np.testing.assert_array_equal(text[name]["kernel"][1].reshape(WIDTH, WIDTH), packed)
    np.testing.assert_array_equal(text["o"]["bias"][0], state["h.0.attn.c_proj.bias"])
    np.testing.assert_array_equal(text["mlp_norm"]["scale"][1], state["h.1.ln_2.weight"])
    fresh = jax.eval_shape(MotionGPT3(config).init, jax.random.key(0)).params
    both = merge(params, fresh)
    assert jax.tree.structure(both) == jax.tree.structure(fresh)
    assert jax.tree.map(lambda x: x.shape, both) == jax.tree.map(lambda x: x.shape, fresh)
    assert both["decoder"]["layers"]["motion"] == fresh["decoder"]["layers"]["motion"]


def test_what_does_not_fit_is_named(config, state):
    del state["h.1.ln_2.bias"]
    state["wpe.weight"] = state["wpe.weight"][:100]
    with pytest.raises(ValueError, match=r"(?s)h\.1\.ln_2\.bias.*wpe\.weight"):
        from_gpt2(state, config)


def test_a_folder_without_weights_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no model\.safetensors"):
        pretrained_text(str(tmp_path), SPEC)


@pytest.mark.parametrize(
    ("config_json", "message"),
    [
        ({"model_type": "gpt2", "n_head": 2}, r"other sizes than the config; set --config\.model\.decoder\.heads=2$"),
        ({"model_type": "llama"}, r"describes a 'llama'; a text branch of the family gpt2 starts from a GPT-2"),
    ],
)
def test_another_model_is_told_by_its_config(state, tmp_path, config_json, message):
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config_json))
    with pytest.raises(ValueError, match=message):
        pretrained_text(str(tmp_path), SPEC)
