"""A pretrained T5's tensors: names and shapes, both ways, and files."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from motiongpt3_jax.systems.motiongpt.name_table import T5_TIED, language_table
from motiongpt3_jax.systems.motiongpt.t5_weights import from_t5, open_t5, t5_config, to_t5
from tests.models.t5_rows import TINY, parameters

IDS, SPARE = 11, 3
CONFIG = {
    "model_type": "t5",
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
    "d_model": 8,
    "d_kv": 4,
    "d_ff": 12,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
}


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(np.asarray, parameters(TINY))


@pytest.fixture(scope="module")
def tensors(params):
    return to_t5(params, TINY)


def folder_of(path, tensors, config=CONFIG):
    (path / "config.json").write_text(json.dumps(config))
    save_file({key: tensor for key, tensor in tensors.items() if key not in T5_TIED}, path / "model.safetensors")
    return path


def test_tensors_come_back_to_the_bit(params, tensors):
    again = from_t5(tensors, TINY, IDS)
    assert jax.tree.structure(again) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, again, params)


def test_linear_layers_are_transposed_and_heads_lie_side_by_side(params, tensors):
    layers = params["t5"]["decoder"]["layers"]["target"]
    query = tensors["decoder.block.2.layer.1.EncDecAttention.q.weight"]
    np.testing.assert_array_equal(query[4 + 1], layers["cross"]["q"]["kernel"][2, :, 1, 1])
    out = tensors["decoder.block.1.layer.0.SelfAttention.o.weight"]
    np.testing.assert_array_equal(out[:, 4 + 3], layers["o"]["kernel"][1, 1, 3])
    np.testing.assert_array_equal(
        tensors["decoder.block.1.layer.2.DenseReluDense.wi_0.weight"].T, layers["gate"]["kernel"][1]
    )
    assert tensors.keys() == language_table(TINY, IDS, SPARE).shapes.keys()


def test_rows_behind_the_tokenizers_ids_are_apart(params, tensors):
    found = from_t5(tensors, TINY, IDS)["vocabulary"]
    assert {name: len(rows) for name, rows in found.items()} == {
        "table": IDS,
        "head": IDS,
        "new": SPARE,
        "new_head": SPARE,
    }
    assert set(from_t5(tensors, TINY, IDS + SPARE)["vocabulary"]) == {"table", "head"}


def test_a_folder_is_read_whether_its_tensors_are_in_one_file_or_in_several(params, tensors, tmp_path):
    config, whole = open_t5(folder_of(tmp_path, tensors))
    assert config == TINY
    parts = {"model-00001-of-00002.safetensors": {}, "model-00002-of-00002.safetensors": {}}
    for number, (key, tensor) in enumerate(sorted(whole.items())):
        parts[[*parts][number % 2]][key] = np.asarray(tensor)
    (tmp_path / "model.safetensors").unlink()
    for name, part in parts.items():
        save_file(part, tmp_path / name)
    index = {"weight_map": {key: name for name, part in parts.items() for key in part}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    jax.tree.map(np.testing.assert_array_equal, from_t5(open_t5(tmp_path)[1], TINY, IDS), params)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"feed_forward_proj": "relu"}, "describes a T5 with relu and an untied head"),
        ({"tie_word_embeddings": True}, "describes a T5 with gated-gelu and a tied head"),
        ({"scale_decoder_outputs": True}, "and a tied head"),
        ({"model_type": "bart"}, "describes a 'bart'; give a FLAN-T5"),
        ({"d_ff": None}, "has no 'd_ff', a size of a T5"),
    ],
    ids=str,
)
def test_what_is_no_t5_of_the_kind_is_refused_in_one_sentence(changed, said):
    found = {key: value for key, value in (CONFIG | changed).items() if value is not None}
    with pytest.raises(ValueError, match=said):
        t5_config(found)


def test_a_config_of_transformers_5_is_read_by_what_it_says_of_scaling():
    assert t5_config(CONFIG | {"tie_word_embeddings": True, "scale_decoder_outputs": False}) == TINY


def test_tensors_that_do_not_fit_are_named(tensors):
    shape = {"lm_head.weight": tensors["lm_head.weight"][:, :4]}
    lacking = {key: tensor for key, tensor in tensors.items() if not key.startswith("encoder.final")}
    twisted = {"encoder.embed_tokens.weight": -tensors["shared.weight"]}
    for state, said in (
        (lacking, r"1 missing, 0 unexpected.*\n  missing encoder\.final_layer_norm\.weight"),
        (tensors | {"odd": np.zeros(1)}, r"unexpected odd \(1,\)"),
        (tensors | shape, r"lm_head.weight has shape \(14, 4\), expected \(14, 8\)"),
        (tensors | twisted, "encoder.embed_tokens.weight differs from shared.weight"),
    ):
        with pytest.raises(ValueError, match=said):
            from_t5(state, TINY, IDS)
    with pytest.raises(ValueError, match="has 14 rows; the tokenizer has 15 ids"):
        from_t5(tensors, TINY, 15)


def test_a_folder_that_lacks_a_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no config.json and no model.safetensors"):
        open_t5(tmp_path)
