"""Products of dense layers: the same whichever way a kernel lies in memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import Decoder, DecoderConfig, Stream, StreamConfig, unstack_layers
from motiongpt3_jax.models.dense import (
    TransposedKernel,
    flat_product,
    kernel_first_product,
    kernels_transposed,
    leading_product,
    plain_kernels,
)


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (50, 4)])
def test_the_kernel_first_gives_the_same_product(shape):
    keys = jax.random.split(jax.random.key(0))
    x, kernel = jax.random.normal(keys[0], (*shape, 6)), jax.random.normal(keys[1], (6, 5))
    product = jax.jit(kernel_first_product)(x, kernel)
    assert product.shape == (*shape, 5)
    np.testing.assert_allclose(product, flat_product(x, kernel), atol=1e-5)


def test_a_leading_product_has_the_gradients_of_a_whole_one_wherever_there_are_some():
    keys = jax.random.split(jax.random.key(0), 3)
    x, kernel = jax.random.normal(keys[0], (2, 70, 6)), jax.random.normal(keys[1], (6, 5))
    outer = jax.random.normal(keys[2], (2, 70, 5))

    @jax.jit
    def gradients(last):
        outer_here = jnp.where(jnp.arange(70)[:, None] < last, outer, 0.0)
        return [
            jax.grad(lambda x, kernel, f=f: (f(x, kernel) * outer_here).sum(), argnums=(0, 1))(x, kernel)
            for f in (leading_product, flat_product)
        ]

    for last in (0, 1, 32, 33, 70):
        found, wanted = gradients(last)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, wanted)
        assert bool(jnp.any(found[0])) == (last > 0)


def test_layers_for_decode_steps_keep_every_kernel_and_know_that_it_is_transposed():
    config = DecoderConfig((StreamConfig("tokens", 12, 20),), 2, 3, 4, 8, (True, True), 0.0, True, False, "float32")
    zeros = jnp.zeros((1, 1), int)
    params = Decoder(config).init(
        jax.random.key(0), {"tokens": Stream(jnp.zeros((1, 1, 12)), zeros, zeros + 1, zeros == 0)}
    )["params"]
    layers = unstack_layers(params)["layers"]
    assert kernels_transposed(layers)
    assert not kernels_transposed(params)
    block = layers[1]["tokens"]
    assert isinstance(block["up"]["kernel"], TransposedKernel)
    assert block["up"]["kernel"].array.shape == (20, 12)
    assert block["q"]["kernel"].array.shape == block["o"]["kernel"].array.shape == (12, 12)
    for number, layer in enumerate(layers):
        plain = plain_kernels(layer)
        assert not kernels_transposed(plain)
        jax.tree.map(np.testing.assert_array_equal, plain, jax.tree.map(lambda x, n=number: x[n], params["layers"]))
