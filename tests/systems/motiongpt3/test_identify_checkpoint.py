"""What a file of tensors is, and how large."""

from dataclasses import asdict

import numpy as np
import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3Config
from motiongpt3_jax.systems.motiongpt3.build import build_config
from motiongpt3_jax.systems.motiongpt3.identify_checkpoint import Found, recognised
from motiongpt3_jax.systems.motiongpt3.identify_checkpoint import sizes_from_shapes as sizes
from motiongpt3_jax.systems.motiongpt3.name_table import TIED, entries

SIZES = (
    "model.vae.width=24",
    "model.vae.layers=5",
    "model.vae.mlp_width=20",
    "model.vae.latents=3",
    "model.vae.max_frames=77",
    "model.decoder.width=40",
    "model.decoder.layers=3",
    "model.decoder.max_positions=99",
    "model.decoder.motion_factor=0.5",
    "model.head.width=28",
    "model.head.depth=2",
    "model.head.time=12",
)


def tensors_of(config: MotionGPT3Config) -> dict[str, np.ndarray]:
    """Tensors of the right shapes without numbers."""
    shapes = {entry.key: entry.shape for entry in entries(config)}
    shapes |= {copy: shapes[key] for copy, key in TIED.items()}
    return {key: np.broadcast_to(np.float32(0), shape) for key, shape in shapes.items()}


@pytest.fixture(scope="module")
def model():
    return load_config("motiongpt3:test", SIZES).model.to_dict()


@pytest.fixture(scope="module")
def state(model):
    return tensors_of(build_config(model, features=9, vocabulary=300))


def gpt2(state):
    """The text branch under the names of a GPT-2."""
    return {
        "wte.weight": state["lm.language_model.transformer.wte.weight"][:-2],
        "wpe.weight": state["lm.language_model.transformer.wpe.weight"],
        **{f"h.{layer}.ln_1.weight": np.zeros(40) for layer in range(3)},
    }


def test_all_sizes_are_read_from_shapes(model, state):
    found = sizes(recognised(state))
    assert (found.features, found.vocabulary) == (9, 300)
    for section, values in found.model.items():
        assert values == {name: model[section][name] for name in values}
    named = {f"model.{section}.{name}" for section, values in found.model.items() for name in values}
    assert named == {size.split("=")[0] for size in SIZES}


def test_a_part_says_its_own_sizes_and_no_more(model, state):
    vae = {name: tensor for name, tensor in state.items() if name.startswith("vae.")}
    found = asdict(sizes(recognised(vae)))
    assert found["model"].keys() == {"vae"}
    assert (found["features"], found["vocabulary"]) == (9, None)
    found = asdict(sizes(recognised(gpt2(state))))
    assert found["model"] == {"decoder": {"width": 40, "layers": 3, "max_positions": 99}}
    assert (found["features"], found["vocabulary"]) == (None, 300)


@pytest.mark.parametrize("wrapping", ["", "model.", "trainer.model."])
def test_a_whole_model_is_known_inside_a_wrapper_and_without_its_evaluation(state, wrapping):
    metrics = {"metrics.MMMetrics.t2m_textencoder.hidden": np.zeros(2), "_losses.losses_train.total": np.zeros(())}
    found = recognised({wrapping + name: tensor for name, tensor in (state | metrics).items()})
    assert found.kind == "whole"
    assert found.tensors.keys() == state.keys()


@pytest.mark.parametrize("wrapping", ["vae.", "motion_vae.", "model.motion_vae.", ""])
def test_a_vae_is_known_among_the_networks_of_mld(state, wrapping):
    vae = {name.removeprefix("vae."): tensor for name, tensor in state.items() if name.startswith("vae.")}
    others = {"denoiser.query_pos.pe": np.zeros(2), "text_encoder.text_model.weight": np.zeros(2)} if wrapping else {}
    found = recognised({wrapping + name: tensor for name, tensor in vae.items()} | others)
    assert found.kind == "vae"
    assert found.tensors.keys() == {f"vae.{name}" for name in vae}


@pytest.mark.parametrize("wrapping", ["", "transformer."])
def test_a_gpt2_is_known_with_and_without_its_head(state, wrapping):
    extra = {"lm_head.weight": np.zeros((300, 40)), f"{wrapping}h.0.attn.bias": np.zeros((1, 1, 4, 4))}
    tensors = {wrapping + name: tensor for name, tensor in gpt2(state).items()}
    found = recognised(tensors | extra)
    assert found.kind == "text"
    assert found.tensors.keys() == gpt2(state).keys()


def test_another_model_is_said_to_be_none_of_these():
    with pytest.raises(ValueError, match=r"the tensors \(bert\.a, bert\.b \.\.\.\) are of no known model"):
        recognised({"bert.a": np.zeros(2), "bert.b": np.zeros(2)})


def test_a_layer_of_an_absurd_number_makes_no_model_of_absurd_size(state):
    found = recognised(gpt2(state) | {"h.3000000.ln_1.weight": np.zeros(2)})
    assert sizes(found).model["decoder"]["layers"] == 1 + sizes(recognised(gpt2(state))).model["decoder"]["layers"]


def test_an_empty_tensor_that_tells_a_size_is_named(state):
    with pytest.raises(ValueError, match=r"cannot be told: wte\.weight is empty, its shape is \(9, 0\)"):
        sizes(recognised(gpt2(state) | {"wte.weight": np.zeros((9, 0))}))


def test_a_missing_tensor_that_tells_a_size_is_named(state):
    found = recognised(state)
    lacking = {name: x for name, x in found.tensors.items() if name != "vae.global_motion_token"}
    with pytest.raises(ValueError, match=r"cannot be told: vae\.global_motion_token is missing"):
        sizes(Found("whole", lacking))
    with pytest.raises(ValueError, match=r"vae\.global_motion_token has shape \(2,\), expected 2 axes"):
        sizes(Found("whole", lacking | {"vae.global_motion_token": np.zeros(2)}))


@pytest.mark.parametrize(
    ("names", "model"),
    [
        (["lm.language_model.shared.weight", "vae.encoder.model.0.weight"], r"MotionGPT \(2023\), a T5"),
        (["vae.encoder.model.0.weight", "vae.quantizer.codebook"], r"MotionGPT \(2023\), whose VAE has a codebook"),
        (["lm.language_model.encoder.block.0.layer.0.SelfAttention.q.weight"], r"MotionGPT \(2023\), a T5"),
        (["vqvae.encoder.model.0.weight", "vqvae.quantizer.codebook"], "a VQ-VAE such as that of T2M-GPT"),
        (["input_process.poseEmbedding.weight", "seqTransEncoder.layers.0.linear1.weight"], "MDM"),
        (["seqTransformer.layers.0.linear1.weight"], "MoMask"),
        (["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"], "a Llama"),
    ],
)
def test_other_models_are_named(names, model):
    with pytest.raises(ValueError, match=rf"are those of {model}.*, another model, .* give a checkpoint of MotionGPT3"):
        recognised({name: np.zeros(2, np.float32) for name in names})


def test_a_vae_beside_other_parts_is_read_all_the_same(state):
    vae = {name: tensor for name, tensor in state.items() if name.startswith("vae.")}
    beside = {"denoiser.seqTransEncoder.layers.0.weight": np.zeros(2, np.float32)}
    assert recognised({**vae, **beside}).kind == "vae"
