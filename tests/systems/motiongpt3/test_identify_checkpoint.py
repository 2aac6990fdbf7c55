"""What a file of tensors is, and how large."""

from dataclasses import asdict

import numpy as np
import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3Config
from motiongpt3_jax.systems.motiongpt3.build import build_config
from motiongpt3_jax.systems.motiongpt3.identify_checkpoint import Checkpoint, has_known_names, identify_tensors
from motiongpt3_jax.systems.motiongpt3.identify_checkpoint import sizes_from_shapes as sizes
from motiongpt3_jax.systems.motiongpt3.name_table import name_table

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
    return {key: np.broadcast_to(np.float32(0), shape) for key, shape in name_table(config).shapes.items()}


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
    checkpoint = sizes(identify_tensors(state))
    assert (checkpoint.features, checkpoint.vocabulary) == (9, 300)
    for section, values in checkpoint.model.items():
        assert values == {name: model[section][name] for name in values}
    named = {f"model.{section}.{name}" for section, values in checkpoint.model.items() for name in values}
    assert named == {size.split("=")[0] for size in SIZES}


def test_a_part_says_its_own_sizes_and_no_more(model, state):
    vae = {name: tensor for name, tensor in state.items() if name.startswith("vae.")}
    parts = asdict(sizes(identify_tensors(vae)))
    assert parts["model"].keys() == {"vae"}
    assert (parts["features"], parts["vocabulary"]) == (9, None)
    parts = asdict(sizes(identify_tensors(gpt2(state))))
    assert parts["model"] == {"decoder": {"width": 40, "layers": 3, "max_positions": 99}}
    assert (parts["features"], parts["vocabulary"]) == (None, 300)


@pytest.mark.parametrize("wrapping", ["", "model.", "trainer.model."])
def test_a_whole_model_is_known_inside_a_wrapper_and_without_its_evaluation(state, wrapping):
    metrics = {"metrics.MMMetrics.t2m_textencoder.hidden": np.zeros(2), "_losses.losses_train.total": np.zeros(())}
    checkpoint = identify_tensors({wrapping + name: tensor for name, tensor in (state | metrics).items()})
    assert checkpoint.kind == "whole"
    assert checkpoint.tensors.keys() == state.keys()
    assert checkpoint.note == "left out: 2 tensors of the official evaluation (metrics.*, _losses.*)"


@pytest.mark.parametrize("wrapping", ["vae.", "motion_vae.", "model.motion_vae.", ""])
def test_a_vae_is_known_among_the_networks_of_mld(state, wrapping):
    vae = {name.removeprefix("vae."): tensor for name, tensor in state.items() if name.startswith("vae.")}
    others = {"denoiser.query_pos.pe": np.zeros(2), "text_encoder.text_model.weight": np.zeros(2)} if wrapping else {}
    checkpoint = identify_tensors({wrapping + name: tensor for name, tensor in vae.items()} | others)
    assert checkpoint.kind == "vae"
    assert checkpoint.tensors.keys() == {f"vae.{name}" for name in vae}


@pytest.mark.parametrize("wrapping", ["", "transformer."])
def test_a_gpt2_is_known_with_and_without_its_head(state, wrapping):
    extra = {"lm_head.weight": np.zeros((300, 40)), f"{wrapping}h.0.attn.bias": np.zeros((1, 1, 4, 4))}
    tensors = {wrapping + name: tensor for name, tensor in gpt2(state).items()}
    checkpoint = identify_tensors(tensors | extra)
    assert checkpoint.kind == "text"
    assert checkpoint.tensors.keys() == gpt2(state).keys()


def test_another_model_is_said_to_be_none_of_these():
    with pytest.raises(ValueError, match=r"the tensors \(bert\.a, bert\.b \.\.\.\) are of no known model"):
        identify_tensors({"bert.a": np.zeros(2), "bert.b": np.zeros(2)})


def test_a_layer_of_an_absurd_number_makes_no_model_of_absurd_size(state):
    checkpoint = identify_tensors(gpt2(state) | {"h.3000000.ln_1.weight": np.zeros(2)})
    assert (
        sizes(checkpoint).model["decoder"]["layers"]
        == 1 + sizes(identify_tensors(gpt2(state))).model["decoder"]["layers"]
    )


def test_an_empty_tensor_that_tells_a_size_is_named(state):
    with pytest.raises(ValueError, match=r"cannot be told: wte\.weight is empty, its shape is \(9, 0\)"):
        sizes(identify_tensors(gpt2(state) | {"wte.weight": np.zeros((9, 0))}))


def test_a_missing_tensor_that_tells_a_size_is_named(state):
    checkpoint = identify_tensors(state)
    lacking = {name: x for name, x in checkpoint.tensors.items() if name != "vae.global_motion_token"}
    with pytest.raises(ValueError, match=r"cannot be told: vae\.global_motion_token is missing"):
        sizes(Checkpoint("whole", lacking))
    with pytest.raises(ValueError, match=r"vae\.global_motion_token has shape \(2,\), expected 2 axes"):
        sizes(Checkpoint("whole", lacking | {"vae.global_motion_token": np.zeros(2)}))


def test_the_tensors_that_are_read_are_known_by_their_names(state):
    assert has_known_names(state)
    assert has_known_names(f"model.{name}" for name in state)
    assert has_known_names(name for name in state if name.startswith("vae."))
    assert has_known_names(gpt2(state))
    assert not has_known_names(
        ["lm.language_model.transformer.h.0.attn.c_attn.weight", "lm.language_model.shared.weight"]
    )
    assert not has_known_names(["vae.encoder.model.0.weight", "vae.quantizer.codebook"])


def test_a_vae_beside_other_parts_is_read_all_the_same(state):
    vae = {name: tensor for name, tensor in state.items() if name.startswith("vae.")}
    beside = {"denoiser.seqTransEncoder.layers.0.weight": np.zeros(2, np.float32)}
    assert identify_tensors({**vae, **beside}).kind == "vae"
