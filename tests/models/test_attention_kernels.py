"""Splash attention of packed rows gives what the reference gives, gradients too; the kernel is run step by step."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models import Decoder
from motiongpt3_jax.models.flavour import BlockFlavour
from tests.models.packed_streams import CONFIG, gradients, packed_streams, parameters, run_kernels_stepwise


@pytest.fixture(autouse=True)
def stepwise(monkeypatch):
    run_kernels_stepwise(monkeypatch.setattr)


def assert_alike(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1.0, float(jnp.abs(b).max())))


def test_splash_attention_of_packed_streams_is_the_references_in_layers_that_share_and_that_do_not():
    streams = packed_streams(2)
    params = parameters(CONFIG, streams)
    assert_alike(gradients(replace(CONFIG, attention="splash"), params, streams), gradients(CONFIG, params, streams))


def test_heads_that_share_keys_and_values_and_rotary_positions_go_through_splash_attention():
    flavour = BlockFlavour("rms", "silu", gated=True, biases=False, positions="rotary", kv_heads=1)
    config, streams = replace(CONFIG, flavour=flavour, shared=(True, True)), packed_streams(1)
    params = parameters(config, streams)
    assert_alike(gradients(replace(config, attention="splash"), params, streams), gradients(config, params, streams))


def test_dropout_of_attention_weights_takes_the_reference():
    streams = packed_streams(1)
    params = parameters(CONFIG, streams)
    config = replace(CONFIG, attention_dropout=0.5)

    @partial(jax.jit, static_argnums=0)
    def run(config):
        rngs = {"dropout": jax.random.key(3)}
        return Decoder(config).apply({"params": params}, streams, deterministic=False, rngs=rngs)

    assert_alike(run(replace(config, attention="splash")), run(config))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"attention": "flash"}, "choose reference or splash or cudnn"),
        ({"attention": "splash", "causal": False}, "causal decoders"),
        ({"attention": "splash", "flavour": BlockFlavour(positions="relative")}, "take reference"),
        ({"attention": "cudnn"}, "half precision"),
    ],
)
def test_a_kernel_that_cannot_compute_a_decoders_attention_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        replace(CONFIG, **options)
