"""The family of the decoder's blocks is a value of the config."""

import jax
import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.models import Decoder
from motiongpt3_jax.models.flavour import GPT2, RotaryScaling
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3
from motiongpt3_jax.systems.motiongpt3.build import build_config
from motiongpt3_jax.systems.motiongpt3.exporter import export_pytorch
from tests.inference.models import model_folder
from tests.models.tiny import sequence
from tests.systems.gemma import GEMMA
from tests.systems.llama import LLAMA, paths_of


def config_of(*overrides):
    model = load_config("motiongpt3:test", overrides).model.to_dict()
    return build_config(model, features=263, vocabulary=300)


def test_gpt2s_blocks_are_the_default():
    config = config_of()
    assert config.decoder.flavour == GPT2
    assert config.tied
    assert [stream.mlp_width for stream in config.decoder.streams] == [128, 128]


def test_a_llama_has_grouped_heads_rotary_positions_and_a_head_of_its_own():
    config = config_of(*LLAMA)
    shapes = paths_of(jax.eval_shape(MotionGPT3(config).init, jax.random.key(0)).params)
    layers = {path: shape for path, shape in shapes.items() if path.startswith("decoder/layers/")}
    assert {path: shape for path, shape in layers.items() if "/text/" in path and "norm" not in path} == {
        "decoder/layers/text/q/kernel": (2, 32, 4, 8),
        "decoder/layers/text/k/kernel": (2, 32, 2, 8),
        "decoder/layers/text/v/kernel": (2, 32, 2, 8),
        "decoder/layers/text/o/kernel": (2, 4, 8, 32),
        "decoder/layers/text/gate/kernel": (2, 32, 48),
        "decoder/layers/text/up/kernel": (2, 32, 48),
        "decoder/layers/text/down/kernel": (2, 48, 32),
    }
    # The motion branch is a quarter as wide, and its heads are as wide as the text's.
    assert layers["decoder/layers/motion/k/kernel"] == (2, 8, 2, 8)
    assert layers["decoder/layers/motion/up/kernel"] == (2, 8, 12)
    assert not any("positions" in path or "bias" in path for path in shapes if path.startswith("decoder/"))
    assert {path: shape for path, shape in shapes.items() if path.startswith("vocabulary/text/")} == {
        "vocabulary/text/table": (300, 32),
        "vocabulary/text/new": (2, 32),
        "vocabulary/text/head": (300, 32),
        "vocabulary/text/new_head": (2, 32),
    }
    rotary = config.decoder.flavour.rotary
    assert (rotary.theta, rotary.scaling) == (500.0, RotaryScaling(8.0, 1.0, 4.0, 64))


def test_a_gemma_has_windows_caps_and_norms_on_both_branches():
    config = config_of(*GEMMA)
    assert config.decoder.windows == (6, None)
    assert (config.decoder.flavour.attention_cap, config.logit_cap) == (5.0, 10.0)
    assert config.decoder.embedding_scale == 32**0.5
    streams = sequence(config=config.decoder)
    shapes = paths_of(jax.eval_shape(Decoder(config.decoder).init, jax.random.key(0), streams)["params"]["layers"])
    norms = {path: shape for path, shape in shapes.items() if "norm" in path}
    for stream, width in (("text", 32), ("motion", 16)):
        for name in ("attention_norm", "post_attention_norm", "mlp_norm", "post_mlp_norm"):
            assert norms.pop(f"{stream}/{name}/scale") == (2, width)
        for name in ("q_norm", "k_norm"):
            assert norms.pop(f"{stream}/{name}/scale") == (2, 10)
    assert not norms


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.decoder.kv_heads=3", "kv_heads is 3, which does not divide its 4 heads"),
        ("model.decoder.family=bert", "family is 'bert'; it must be one of gpt2, llama, qwen2, qwen3, gemma2, gemma3"),
        ("model.decoder.head_width=7", "head_width is 7, and rotary positions rotate pairs: take an even one"),
        ("model.decoder.sliding_window=0", "sliding_window is 0; it must be a whole number from 1"),
        ("model.decoder.width=30", "width 30 is not a multiple of its 4 heads; take another, or set head_width"),
        ("model.decoder.heads=32", "gives each of its 32 heads an odd width"),
        ("model.decoder.rope_scaling=(8.0, 4.0, 1.0, 64)", r"rope_scaling is .*; it must be a number above 0, or"),
        ("model.decoder.mlp_width=1", "mlp_width 1 times its motion_factor leaves no width"),
    ],
)
def test_what_no_decoder_has_is_refused_in_a_sentence(override, message):
    with pytest.raises(ValueError, match=message):
        config_of(*LLAMA, "model.decoder.kv_heads=None", override)


def test_the_official_code_is_said_to_have_no_other_blocks(tmp_path):
    folder = model_folder(*LLAMA)
    with pytest.raises(ValueError, match=r"GPT-2's blocks, with model\.decoder\.family 'gpt2'.*'llama'"):
        export_pytorch(tmp_path / "model.ckpt", folder.spec, None)
