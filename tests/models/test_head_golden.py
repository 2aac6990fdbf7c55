"""The diffusion head against the official one's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.diffusion import classifier_free_guidance
from tests.diffusion.official import HEAD, SCHEDULE, head_params
from tests.golden import compare, golden

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def data():
    return golden("diffusion_head")


@jax.jit
def predict(params, x, t, c):
    return HEAD.apply({"params": params}, x, t, c, capture_intermediates=all_methods)


def all_methods(module, method):
    """The head's parts are methods; what each returns is kept."""
    del module
    return method in ("__call__", "pool", "time")


@pytest.fixture(scope="module")
def predicted(data):
    return predict(head_params(), *(data[name] for name in "xtc"))


def test_the_predicted_noise_equals_the_official_one(data, predicted):
    compare("diffusion_head/eps", predicted[0], data["eps"])


def test_every_part_equals_the_official_one(data, predicted):
    captured = predicted[1]["intermediates"]
    (x,), (time,), (pooled,) = captured["input"]["__call__"], captured["time"], captured["pool"]
    compare("diffusion_head/mid_input_proj", x, data["mid_input_proj"])
    compare("diffusion_head/mid_time_embed", time, data["mid_time_embed"])
    layer = captured["pooling"]["layer"]["__call__"][0]
    compare("diffusion_head/mid_cond_layer", layer.swapaxes(0, 1), data["mid_cond_layer"])
    compare("diffusion_head/mid_cond_embed", pooled[:, None], data["mid_cond_embed"])
    blocks = captured["blocks"]["__call__"][0][0]
    for number, block in enumerate(blocks):
        compare(f"diffusion_head/mid_res{number}", block, data[f"mid_res{number}"])


@pytest.mark.parametrize("scale", [1, 3])
def test_guided_noise_equals_the_official_one(scale, data):
    half = len(data["x"]) // 2
    x = np.concatenate([data["x"][:half]] * 2)
    found, _ = predict(head_params(), x, data["t"], data["c"])
    ours = classifier_free_guidance(*jnp.split(found, 2), scale)
    compare(f"diffusion_head/eps_cfg{scale}", jnp.concatenate([ours, ours]), data[f"eps_cfg{scale}"], atol=2e-4)


def test_the_training_loss_equals_the_official_one(data):
    noisy = SCHEDULE.q_sample(data["train_target"], data["t"], data["train_noise"])
    compare("diffusion_head/train_x_t", noisy, data["train_x_t"], atol=1e-6, rtol=1e-6)
    found, _ = predict(head_params(), noisy, data["t"], data["c"])
    loss = jnp.mean((found - data["train_noise"]) ** 2, axis=(1, 2))
    compare("diffusion_head/train_loss", loss, data["train_loss"], atol=1e-5, rtol=1e-5)
