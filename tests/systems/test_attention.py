"""Which attention a model takes on which devices."""

import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.experiment.check_config import small_spec
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.systems.attention import choose_attention
from motiongpt3_jax.systems.registry import find_system


def kernel(config, platform, *overrides):
    """The attention that the decoder of a config computes."""
    spec = small_spec(plain(load_config(config, overrides).to_dict()))
    system = find_system(spec.config["system"]).make_system(choose_attention(spec, platform))
    language = system.config.decoder if config.startswith("motiongpt3") else system.config.language
    return getattr(language, "decoder", language).attention


@pytest.mark.parametrize(
    ("platform", "dtype", "chosen"),
    [
        ("tpu", "bfloat16", "splash"),
        ("tpu", "float32", "splash"),
        ("gpu", "bfloat16", "cudnn"),
        ("gpu", "float32", "reference"),
        ("cpu", "bfloat16", "reference"),
    ],
)
def test_a_config_that_leaves_the_choice_takes_what_the_devices_have(platform, dtype, chosen):
    assert kernel("motiongpt3:test", platform, f"model.dtype={dtype!r}") == chosen


def test_a_config_that_names_its_attention_gets_it_everywhere():
    assert kernel("motiongpt3:test", "tpu", "model.attention='reference'") == "reference"


def test_a_t5_has_the_reference_alone_and_a_decoder_of_the_same_system_a_kernel():
    assert kernel("motiongpt:test", "tpu") == "reference"
    assert kernel("motiongpt:gpt2", "tpu") == "splash"
