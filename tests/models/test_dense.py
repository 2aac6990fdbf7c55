"""Products of dense layers: the same whichever way kernels lie in memory or are split, and what a mesh may pin."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import Decoder, DecoderConfig, Stream, StreamConfig, unstack_layers
from motiongpt3_jax.models.conv import Conv
from motiongpt3_jax.models.dense import (
    Dense,
    TransposedKernel,
    apply_params,
    dense,
    flat_product,
    kernel_first_product,
    kernels_transposed,
    linear,
    plain_kernels,
    trailing_product,
)

X = jax.random.normal(jax.random.key(0), (4, 6, 3))
PARAMS = {"kernel": jax.random.normal(jax.random.key(1), (3, 5)), "bias": jnp.arange(5.0)}


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (50, 4)])
def test_the_kernel_first_gives_the_same_product(shape):
    keys = jax.random.split(jax.random.key(0))
    x, kernel = jax.random.normal(keys[0], (*shape, 6)), jax.random.normal(keys[1], (6, 5))
    product = jax.jit(kernel_first_product)(x, kernel)
    assert product.shape == (*shape, 5)
    np.testing.assert_allclose(product, flat_product(x, kernel), atol=1e-5)


def test_a_trailing_product_has_the_gradients_of_a_whole_one_wherever_there_are_some():
    keys = jax.random.split(jax.random.key(0), 3)
    x, kernel = jax.random.normal(keys[0], (2, 70, 6)), jax.random.normal(keys[1], (6, 5))
    outer = jax.random.normal(keys[2], (2, 70, 5))

    @jax.jit
    def gradients(count):
        outer_here = jnp.where(jnp.arange(70)[:, None] >= 70 - count, outer, 0.0)
        return [
            jax.grad(lambda x, kernel, f=f: (f(x, kernel) * outer_here).sum(), argnums=(0, 1))(x, kernel)
            for f in (trailing_product, flat_product)
        ]

    for count in (0, 1, 32, 33, 70):
        found, wanted = gradients(count)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, wanted)
        assert bool(jnp.any(found[0])) == (count > 0)


def test_layers_for_decode_steps_keep_every_kernel_and_know_that_it_is_transposed():
    config = DecoderConfig(
        (StreamConfig("tokens", 12, 20),),
        2,
        3,
        4,
        8,
        (True, True),
        0.0,
        0.0,
        "reference",
        scan=True,
        remat="none",
        dtype="float32",
    )
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


def total(apply, constrain, dtype, x, params):
    hook = {} if constrain is None else {"constrain": constrain}
    return jnp.sum(apply_params(apply, x, params, dtype, **hook).astype(jnp.float32) ** 2)


@pytest.mark.parametrize("product", [flat_product, trailing_product])
def test_a_hook_that_pins_nothing_changes_neither_results_nor_gradients(product):
    wanted, found = (
        jax.value_and_grad(partial(total, partial(dense, product=product), hook, "float32"), argnums=(0, 1))(X, PARAMS)
        for hook in (None, lambda name, x: x)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4), found, wanted)


@pytest.mark.parametrize("stride", [1, 2])
def test_so_it_is_for_convolutions(stride):
    frames = jnp.array([6, 4, 3, 1])
    plain = Conv(5, 4 if stride == 2 else 3, "float32", stride=stride)
    pinned = plain.clone(constrain=lambda name, x: x)
    params = plain.init(jax.random.key(2), X, frames)

    def loss(module, params, x):
        return jnp.sum(module.apply(params, x, frames) ** 2)

    wanted, found = (
        jax.jit(jax.value_and_grad(partial(loss, module), argnums=(0, 1)))(params, X) for module in (plain, pinned)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, wanted)


def test_gradients_are_pinned_by_the_names_of_what_they_are_of():
    seen = []

    def constrain(name, x):
        seen.append((name, x.shape))
        return x

    layer = Dense(5, "float32", jax.nn.initializers.normal(), constrain=constrain, pin="mlp")
    params = layer.init(jax.random.key(2), X)
    seen.clear()
    jax.grad(lambda params: layer.apply(params, X).sum())(params)
    forward = {("mlp", (4, 6, 5)), ("mlp/kernel", (3, 5)), ("mlp/bias", (5,))}
    assert set(seen[:3]) == forward
    gradients = {("mlp/kernel/gradient", (3, 5)), ("mlp/bias/gradient", (5,))}
    assert set(seen[3:]) == forward | gradients | {("summed", (4, 6, 5)), ("summed", (4, 6, 3))}


def test_gradients_are_summed_in_the_dtype_that_a_mesh_asks_for():
    """Operands in float32 make a gradient that no bfloat16 rounds."""
    exact = jax.grad(partial(total, dense, None, "float32"), argnums=1)
    rough, wide = (
        jax.grad(partial(total, dense, hook, "bfloat16"), argnums=1)(X, PARAMS)["kernel"]
        for hook in (lambda name, x: x, lambda name, x: x.astype(jnp.float32) if name == "summed" else x)
    )
    assert rough.dtype == wide.dtype == jnp.float32
    assert (rough == rough.astype(jnp.bfloat16)).all()
    assert not (wide == wide.astype(jnp.bfloat16)).all()
    np.testing.assert_allclose(wide, exact(X, PARAMS)["kernel"], rtol=0.05, atol=0.5)


def test_weights_start_as_pytorchs_linear():
    params = linear(400, 64, "float32").init(jax.random.key(0), jnp.zeros((1, 64)))["params"]
    for value in params.values():
        assert float(jnp.abs(value).max()) == pytest.approx(1 / 8, rel=0.02)
        assert float(value.std()) == pytest.approx(1 / 8 / 3**0.5, rel=0.1)
