"""The sizes of MotionGPT3: parameters, batches, and that each can be trained."""

import math

import jax
import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.systems.motiongpt3 import MotionGPT3
from motiongpt3_jax.systems.motiongpt3.build import build_config
from motiongpt3_jax.systems.motiongpt3.gpt2 import TEXT
from tests.systems.llama import paths_of

GPT2, LLAMA = 50_257, 128_256
"""Ids of the tokenizers."""

TEXT_PARAMETERS = {
    "small": (GPT2, 30_339_456),
    "base": (GPT2, 124_439_808),
    "medium": (GPT2, 354_823_168),
    "large": (GPT2, 774_030_080),
    "xl": (GPT2, 1_557_611_200),
    "8b": (LLAMA, 8_030_261_248),
}
"""Ids, and parameters of the text branch: as published, but for `small`."""


def parameters(variant, vocabulary):
    """Shapes of all parameters of a size; nothing is computed."""
    config = build_config(load_config(f"motiongpt3:{variant}").model.to_dict(), features=263, vocabulary=vocabulary)
    return paths_of(jax.eval_shape(MotionGPT3(config).init, jax.random.key(0)).params)


@pytest.mark.parametrize("variant", TEXT_PARAMETERS)
def test_the_text_branch_has_the_published_number_of_parameters(variant):
    vocabulary, count = TEXT_PARAMETERS[variant]
    shapes = parameters(variant, vocabulary)
    assert sum(math.prod(shape) for path, shape in shapes.items() if TEXT.fullmatch(path)) == count


def test_the_motion_branch_of_8b_is_a_quarter_as_wide():
    shapes = parameters("8b", 1000)
    layers = {
        path.removeprefix("decoder/layers/motion/"): shape for path, shape in shapes.items() if "/motion/" in path
    }
    assert layers["q/kernel"] == (32, 1024, 32, 128)
    assert layers["k/kernel"] == (32, 1024, 8, 128)
    assert layers["down/kernel"] == (32, 3584, 1024)


@pytest.mark.parametrize("variant", ["small", pytest.param("xl", marks=pytest.mark.slow), "8b"])
def test_a_size_can_be_trained(variant):
    check_config(plain(load_config(f"motiongpt3:{variant}").to_dict()))


@pytest.mark.parametrize("variant", ["small", "medium", "large", "xl", "8b"])
def test_a_size_sees_as_many_samples_as_base(variant):
    base, config = load_config("motiongpt3:base"), load_config(f"motiongpt3:{variant}")
    for name, stage in config.stages.items():
        samples = [each.steps * each.batch.rows for each in (base.stages[name], stage)]
        assert 0.99 < samples[1] / samples[0] <= 1, name
        assert stage.evaluate_every <= stage.steps


def test_the_batches_of_8b_fill_its_mesh():
    config = load_config("motiongpt3:8b")
    assert {stage.batch.rows % 256 for stage in config.stages.values()} == {0}
    assert config.model.decoder.kv_heads == 8
    assert {stage.optimizer.moments for stage in config.stages.values()} == {((".*", "bfloat16"),)}
