"""The diffusion head's own promises."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from motiongpt3_jax.models import DiffusionHead, HeadConfig
from tests.models.tiny import drawn

CONFIG = HeadConfig(
    latent=3,
    condition=8,
    width=10,
    depth=2,
    heads=2,
    pool_mlp=12,
    time=6,
    dropout=0.1,
    dtype="float32",
    max_positions=5,
)
X, T = jax.random.normal(jax.random.key(1), (2, 1, 3)), jnp.array([3, 990])
C = jax.random.normal(jax.random.key(2), (2, 4, 8))
PARAMS = drawn(DiffusionHead(CONFIG).init, X, T, C, scale=0.2)


@partial(jax.jit, static_argnames=("config", "method", "deterministic"))
def apply(*args, config=CONFIG, method=None, **options):
    return DiffusionHead(config).apply({"params": PARAMS}, *args, method=method, **options)


def test_pooling_and_time_can_be_computed_once_outside_a_loop():
    y = apply(C, method="pool") + apply(T, method="time")
    np.testing.assert_allclose(apply(X, y, method="denoise"), apply(X, T, C), atol=1e-6)


def test_every_holder_counts_and_their_order_too():
    whole = apply(C, method="pool")
    for holder in range(4):
        assert jnp.abs(apply(C.at[:, holder].multiply(-1), method="pool") - whole).max() > 1e-4
    assert jnp.abs(apply(C[:, ::-1], method="pool") - whole).max() > 1e-4


def test_a_fraction_of_a_step_lies_between_steps():
    low, half, high = (apply(jnp.array([t]), method="time") for t in (3.0, 3.5, 4.0))
    step = jnp.linalg.norm(high - low)
    assert 0 < jnp.linalg.norm(half - low) < step
    assert 0 < jnp.linalg.norm(high - half) < step


def test_several_latent_tokens_are_denoised_alike():
    tokens = jnp.concatenate([X, X], axis=1)
    found = apply(tokens, T, C)
    np.testing.assert_allclose(found[:, 1], apply(X, T, C)[:, 0], atol=1e-6)


def test_dropout_is_the_pools_alone():
    first, second = (
        apply(C, method="pool", deterministic=False, rngs={"dropout": k}) for k in jax.random.split(jax.random.key(3))
    )
    assert float(jnp.abs(first - second).max()) > 1e-3


def test_bfloat16_is_near_float32_and_the_result_is_float32():
    found = apply(X, T, C, config=replace(CONFIG, dtype="bfloat16"))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, apply(X, T, C), atol=0.05)


def test_weights_start_as_pytorchs_linear():
    config = replace(CONFIG, width=400)
    params = jax.jit(lambda k: DiffusionHead(config).init(k, X, T, C))(jax.random.key(0))["params"]
    for name, inputs in (("input", 3), ("final", 400), ("time_out", 400)):
        bound = inputs**-0.5
        for leaf in params[name].values():
            assert float(jnp.abs(leaf).max()) <= bound
        np.testing.assert_allclose(params[name]["kernel"].std(), bound / 3**0.5, rtol=0.1)
    assert params["final"]["bias"].any()
