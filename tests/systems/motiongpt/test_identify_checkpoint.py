"""What a file of tensors is, and how large: MotionGPT, its VQ-VAE, a T5, a GPT-2."""

import numpy as np
import pytest

from motiongpt3_jax.systems.motiongpt.build import build_config
from motiongpt3_jax.systems.motiongpt.identify_checkpoint import find_config, identify_tensors, sizes_from_shapes
from motiongpt3_jax.systems.motiongpt.name_table import LANGUAGE, name_table
from tests.systems.motiongpt.small import FEATURES, spec_of

NAMES = {"t5": "motiongpt:base:official", "gpt2": "motiongpt:gpt2:official"}
EVALUATION = {"metrics.TM2TMetrics.t2m_textencoder.hidden": np.zeros(2), "_losses.losses_train.total": np.zeros(())}


@pytest.fixture(scope="module", params=NAMES)
def lm(request):
    return request.param


@pytest.fixture(scope="module")
def spec(lm):
    return spec_of(lm)


@pytest.fixture(scope="module")
def state(spec):
    """Tensors of the right shapes without numbers."""
    shapes = name_table(build_config(spec)).shapes
    return {key: np.broadcast_to(np.float32(0), shape) for key, shape in shapes.items()}


def alone(state):
    """The language model under its own names."""
    return {name.removeprefix(LANGUAGE): x for name, x in state.items() if name.startswith(LANGUAGE)}


def vqvae(state):
    return {name: x for name, x in state.items() if name.startswith("vae.")}


def test_all_sizes_but_heads_of_a_gpt2_and_dilations_are_read_from_shapes(state, spec, lm):
    sizes = sizes_from_shapes(identify_tensors(state))
    assert sizes.features == FEATURES
    for section, values in sizes.model.items():
        assert values == {name: spec.config["model"][section][name] for name in values}
    untold = {"scan", "remat", *(("heads", "head_width") if lm == "gpt2" else ())}
    assert spec.config["model"]["language"].keys() - sizes.model["language"].keys() == untold
    assert spec.config["model"]["vqvae"].keys() - sizes.model["vqvae"].keys() == {"dilation_growth", "permute"}


@pytest.mark.parametrize("wrapping", ["", "model."])
def test_a_whole_model_is_known_inside_a_wrapper_and_its_evaluation_is_left_out_and_said(state, wrapping, lm):
    checkpoint = identify_tensors({wrapping + name: tensor for name, tensor in (state | EVALUATION).items()})
    assert (checkpoint.kind, checkpoint.lm) == ("whole", lm)
    assert checkpoint.tensors.keys() == state.keys()
    assert checkpoint.note == "left out: 2 tensors of the official evaluation (metrics.*, _losses.*)"
    assert find_config([wrapping + name for name in state]) == NAMES[lm]


@pytest.mark.parametrize("wrapping", ["", "model."])
def test_a_vqvae_is_known_among_other_parts(state, wrapping):
    others = {"other.weight": np.zeros(2), **EVALUATION}
    tensors = {wrapping + name: tensor for name, tensor in vqvae(state).items()} | others
    checkpoint = identify_tensors(tensors)
    assert (checkpoint.kind, checkpoint.lm) == ("tokenizer", None)
    assert checkpoint.tensors.keys() == vqvae(state).keys()
    assert sizes_from_shapes(checkpoint).model.keys() == {"vqvae"}
    assert find_config(tensors) == "motiongpt:base:official"


def test_a_language_model_alone_is_known_by_its_own_names(state, lm):
    masks = {f"transformer.h.0.attn.{name}bias": np.ones((1, 1, 4, 4)) for name in ("", "masked_")}
    checkpoint = identify_tensors(alone(state) | masks)
    assert (checkpoint.kind, checkpoint.lm) == ("language", lm)
    assert checkpoint.tensors.keys() == state.keys() - vqvae(state).keys()
    assert sizes_from_shapes(checkpoint).features is None
    assert find_config(alone(state)) == NAMES[lm]


def test_a_gpt2_is_known_without_the_name_of_its_wrapper():
    tensors = {"wte.weight": np.zeros((9, 4)), "h.0.attn.c_attn.weight": np.zeros((4, 12))}
    tensors = identify_tensors(tensors).tensors
    names = ("wte.weight", "h.0.attn.c_attn.weight")
    assert tensors.keys() == {f"lm.language_model.transformer.{name}" for name in names}


def test_other_tensors_are_of_no_known_model(state):
    others = {"bert.a": np.zeros(2), "bert.b": np.zeros(2)}
    assert find_config(others) is None
    assert find_config(["lm.language_model.transformer.h.0.c_attn.fn.0.weight", "vqvae.quantizer.codebook"]) is None
    with pytest.raises(ValueError, match=r"the tensors \(bert\.a, bert\.b \.\.\.\) are of no known model"):
        identify_tensors(others)


def without(state, *ends):
    return {name: x for name, x in state.items() if not name.endswith(ends)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "quantizer.codebook"), r"cannot be told: vae\.quantizer\.codebook is missing"),
        (lambda s: s | {"vae.quantizer.codebook": np.zeros(3)}, r"codebook has shape \(3,\), expected 2 axes"),
        (lambda s: s | {"vae.encoder.model.4.1.model.0.conv1.weight": np.zeros(1)}, "halves the frames 3 times; 2 are"),
    ],
)
def test_what_tells_no_size_is_named(state, change, message):
    with pytest.raises(ValueError, match=message):
        sizes_from_shapes(identify_tensors(change(state)))


def test_a_t5_of_another_form_is_refused():
    state = {"shared.weight": np.zeros((9, 4)), "encoder.block.0.layer.1.DenseReluDense.wi.weight": np.zeros((8, 4))}
    with pytest.raises(ValueError, match=r"a T5 of version 1\.0, with plain ReLU layers"):
        sizes_from_shapes(identify_tensors(state))
    attention = "encoder.block.0.layer.0.SelfAttention"
    state = {
        "shared.weight": np.zeros((9, 4)),
        f"{attention}.q.weight": np.zeros((4, 4)),
        f"{attention}.relative_attention_bias.weight": np.zeros((32, 2)),
        "decoder.block.1.layer.0.SelfAttention.q.weight": np.zeros((4, 4)),
        "decoder.block.0.layer.0.SelfAttention.q.weight": np.zeros((4, 4)),
    }
    with pytest.raises(ValueError, match="the T5 has 1 and 2 layers, and 2 heads that are 4 wide"):
        sizes_from_shapes(identify_tensors(state))
