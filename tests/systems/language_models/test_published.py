"""What a `config.json` says of a language model's sizes, in the forms of several years, and what it must not say."""

import pytest

from motiongpt3_jax.systems.language_models import PUBLISHED, read_sizes
from tests.systems.language_models.models import CONFIGS, MODEL_TYPES, section_of

GEMMA3_1B = {
    "model_type": "gemma3_text",
    "hidden_size": 1152,
    "num_hidden_layers": 26,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "intermediate_size": 6912,
    "sliding_window": 512,
}
"""What differs from the defaults of its family."""


def read(family, **changed):
    return read_sizes({"model_type": MODEL_TYPES.get(family, family), **CONFIGS[family], **changed}, family)


def test_every_family_has_its_own_values():
    assert read("llama")["rope_scaling"] == (8.0, 1.0, 4.0, 64)
    assert read("qwen2")["head_width"] == 8
    assert read("qwen3")["head_width"] == 12
    gemma = read("gemma2")
    assert (gemma["attention_cap"], gemma["logit_cap"], gemma["tied"]) == (2.0, 5.0, True)
    assert section_of("gemma2", CONFIGS["gemma2"]).windows == (4, None, 4)
    assert section_of("gemma3", CONFIGS["gemma3"]).windows == (4, 4, None)
    rotary = section_of("gemma3", CONFIGS["gemma3"]).flavour
    assert (rotary.rotary.factor, rotary.rotary.theta, rotary.local_rotary.theta) == (4.0, 1e4, 100.0)


def test_what_files_leave_out_is_what_their_family_has():
    found = read_sizes(GEMMA3_1B, "gemma3")
    said = ("head_width", "query_pre_attn_scalar", "sliding_window_pattern", "tied", "attention_cap", "logit_cap")
    assert [found[name] for name in said] == [256, None, 6, True, None, None]
    assert (found["rope_theta"], found["rope_local_theta"]) == (1e6, 1e4)
    caps = read_sizes({**GEMMA3_1B, "model_type": "gemma2"}, "gemma2")
    assert (caps["attention_cap"], caps["logit_cap"], caps["sliding_window_pattern"]) == (50.0, 30.0, 2)
    assert "rope_local_theta" in caps
    assert caps["rope_local_theta"] is None


def test_newer_files_say_the_same_in_other_words():
    types = ["sliding_attention", "sliding_attention", "full_attention"]
    rope = {
        "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4},
        "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
    }
    old = {"rope_theta", "rope_scaling", "rope_local_base_freq", "sliding_window_pattern"}
    new = {key: value for key, value in CONFIGS["gemma3"].items() if key not in old}
    new |= {"model_type": "gemma3_text", "layer_types": types, "rope_parameters": rope}
    assert read_sizes(new, "gemma3") == read("gemma3")
    full = {"layer_types": ["full_attention"] * 3, "sliding_window": None, "use_sliding_window": False}
    assert read("qwen3", **full) == read("qwen3")
    assert read("gemma2", layer_types=["full_attention"] * 3)["sliding_window"] is None
    mistral = read("llama", model_type="mistral", sliding_window=7)
    assert (mistral["sliding_window"], mistral["sliding_window_pattern"]) == (7, None)


@pytest.mark.parametrize(
    ("family", "changed", "message"),
    [
        ("llama", {"model_type": "qwen2"}, "describes a 'qwen2'; of the family llama llama and mistral are read: set"),
        ("gemma3", {"model_type": "gemma3"}, "describes a 'gemma3'; of the family gemma3 gemma3_text is read$"),
        ("llama", {"attention_bias": True}, "has attention_bias True, which is not read; models with False are"),
        ("qwen2", {"use_sliding_window": True}, "has use_sliding_window True, which is not read"),
        ("gemma2", {"hidden_activation": "gelu"}, "has hidden_activation 'gelu', which is not read"),
        ("gemma3", {"use_bidirectional_attention": True}, "has use_bidirectional_attention True"),
        ("llama", {"rope_scaling": {"type": "yarn"}}, "by 'yarn', which is not read; 'default', 'linear' and 'llama3'"),
        ("llama", {"rope_scaling": {"type": "llama3"}}, "has no 'factor', a size of a Llama"),
        ("llama", {"rope_scaling": [8.0]}, r"rope_parameters of config\.json is \[8\.0\]; it must be a section"),
        ("qwen3", {"hidden_size": "wide"}, r"hidden_size of config\.json is 'wide'; it must be a whole number"),
        ("qwen3", {"num_attention_heads": 0}, r"num_attention_heads of config\.json is 0; it must be"),
        ("qwen3", {"head_dim": -1}, r"head_dim of config\.json is -1; it must be"),
        ("gemma2", {"attn_logit_softcapping": 0.0}, r"attn_logit_softcapping of config\.json is 0\.0; it must be"),
        ("gemma2", {"sliding_window": 0}, r"sliding_window of config\.json is 0; it must be"),
        ("gemma2", {"layer_types": ["chunked_attention"] * 3}, r"layer_types of config\.json is .* one of full_atten"),
        ("gemma2", {"layer_types": ["full_attention", *["sliding_attention"] * 2]}, "layer_types of another pattern"),
        ("gemma2", {"rope_theta": "fast"}, r"rope_theta of config\.json is 'fast'; it must be a number"),
    ],
    ids=str,
)
def test_other_models_and_odd_values_are_refused_in_a_sentence(family, changed, message):
    with pytest.raises(ValueError, match=message):
        read(family, **changed)


def test_a_file_without_a_size_is_no_whole_checkpoint():
    with pytest.raises(ValueError, match="has no 'hidden_size', a size of a Qwen 3"):
        read_sizes({"model_type": "qwen3"}, "qwen3")


def test_titles_are_words():
    assert {family: published.title for family, published in PUBLISHED.items()} == {
        "llama": "a Llama",
        "qwen2": "a Qwen 2",
        "qwen3": "a Qwen 3",
        "gemma2": "a Gemma 2",
        "gemma3": "a Gemma 3",
    }
