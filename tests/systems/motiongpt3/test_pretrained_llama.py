"""A Llama's checkpoint as the text branch."""

import jax
import numpy as np
import pytest

from motiongpt3_jax.systems.motiongpt3 import MotionGPT3
from motiongpt3_jax.systems.motiongpt3.build import build_config, sizes_of
from motiongpt3_jax.systems.motiongpt3.gpt2 import TEXT
from motiongpt3_jax.systems.motiongpt3.pretrained import pretrained_text
from tests.systems.llama import IDS, logits_of, paths_of, random_tensors, spec_of, write_checkpoint

TOKENS = np.array([[5, 9, 200, 7, 3, 1, 299, 42], [8, 2, 1, 0, 77, 6, 5, 4]], np.int32)


def rms(x, scale):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6) * scale


def rotated(x):
    """(rows, slots, heads, 8): channel i turns with channel i + 4."""
    rates = 500.0 ** (-np.arange(4) / 4)
    turns = rates * 64 / (2 * np.pi)
    rates = [rate / 8 if t < 1 else rate if t > 4 else None for rate, t in zip(rates, turns)]
    # Of these four one is fast, one lies between, and two are slow.
    share = (turns[1] - 1) / 3
    assert [rate is None for rate in rates] == [False, True, False, False]
    rates[1] = 500.0**-0.25 * ((1 - share) / 8 + share)
    angles = np.arange(x.shape[1])[:, None, None] * np.array(rates)
    first, second = x[..., :4], x[..., 4:]
    return np.concatenate(
        [first * np.cos(angles) - second * np.sin(angles), second * np.cos(angles) + first * np.sin(angles)], axis=-1
    )


def reference(tensors, tokens):
    """A Llama's logits in float64, written out."""
    t = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    x = t["model.embed_tokens.weight"][tokens]
    rows, slots = tokens.shape
    causal = np.tril(np.ones((slots, slots), bool))
    for layer in range(2):
        at = f"model.layers.{layer}."
        normed = rms(x, t[f"{at}input_layernorm.weight"])
        q, k, v = (
            (normed @ t[f"{at}self_attn.{name}_proj.weight"].T).reshape(rows, slots, -1, 8) for name in ("q", "k", "v")
        )
        q, k = rotated(q), rotated(k)
        k, v = np.repeat(k, 2, axis=2), np.repeat(v, 2, axis=2)
        scores = np.where(causal, np.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(8), -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = np.einsum("bhqk,bkhd->bqhd", weights, v).reshape(rows, slots, 32)
        x = x + mixed @ t[f"{at}self_attn.o_proj.weight"].T
        normed = rms(x, t[f"{at}post_attention_layernorm.weight"])
        gate = normed @ t[f"{at}mlp.gate_proj.weight"].T
        gate = gate / (1 + np.exp(-gate))
        x = x + (gate * (normed @ t[f"{at}mlp.up_proj.weight"].T)) @ t[f"{at}mlp.down_proj.weight"].T
    return rms(x, t["model.norm.weight"]) @ t["lm_head.weight"].T


@pytest.mark.parametrize("rows", [IDS, IDS + 20])
def test_logits_are_those_of_a_llama(tmp_path, rows):
    tensors, spec = random_tensors(rows), spec_of()
    params = pretrained_text(write_checkpoint(tmp_path, tensors), spec)
    wanted = reference(tensors, TOKENS)[..., :IDS]
    found = logits_of(spec, jax.tree.map(np.asarray, params), TOKENS)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-4 * np.abs(wanted).max())


def test_all_of_the_text_branch_comes_from_the_checkpoint_and_nothing_else(tmp_path):
    spec = spec_of()
    params = pretrained_text(write_checkpoint(tmp_path, random_tensors()), spec)
    system = MotionGPT3(build_config(spec.config["model"], **sizes_of(spec)))
    shapes = paths_of(jax.eval_shape(system.init, jax.random.key(0)).params)
    assert paths_of(params) == {path: shape for path, shape in shapes.items() if TEXT.fullmatch(path)}


def test_a_head_that_is_the_table_is_not_another_one(tmp_path):
    tensors = random_tensors()
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    spec = spec_of("model.decoder.tied=True")
    params = pretrained_text(write_checkpoint(tmp_path, tensors, tie_word_embeddings=True), spec)
    assert set(params["vocabulary"]["text"]) == {"table"}
    with pytest.raises(ValueError, match=r"set --config\.model\.decoder\.tied=False"):
        pretrained_text(write_checkpoint(tmp_path, tensors), spec)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"model_type": "qwen2"},
            "describes a 'qwen2'; of the family llama llama and mistral are read: set the family",
        ),
        ({"sliding_window": 4096}, r"set --config\.model\.decoder\.sliding_window=4096$"),
        ({"head_dim": 16}, r"set --config\.model\.decoder\.head_width=16$"),
        ({"num_hidden_layers": 3, "rope_theta": 1e4}, r"set --config\.model\.decoder\.layers=3 .*rope_theta=10000\.0$"),
        ({"max_position_embeddings": 128}, r"128 positions, and the config 256; set .*max_positions=128"),
    ],
    ids=str,
)
def test_other_models_and_other_sizes_are_refused_in_a_sentence(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        pretrained_text(write_checkpoint(tmp_path, random_tensors(), **changed), spec_of())


def test_a_checkpoint_of_fewer_ids_than_the_tokenizer_has_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has 299 ids, and its tokenizer 300"):
        pretrained_text(write_checkpoint(tmp_path, random_tensors(rows=IDS - 1)), spec_of())
