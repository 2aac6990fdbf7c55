"""Attention that computes its scores twice, against the plain formula."""

import jax
import jax.numpy as jnp
import numpy as np

from motiongpt3_jax.models.attention import attend

Q, K, V = (jax.random.normal(jax.random.key(i), (2, 2, slots, 4)) for i, slots in enumerate((3, 5, 5)))
MASK = jnp.array([[True] * 5, [True, True, False, False, True]])


def plain(q, k, v):
    scores = jnp.where(MASK[:, None, None], q @ jnp.swapaxes(k, 2, 3) / 2.0, -jnp.inf)
    return jax.nn.softmax(scores, axis=-1) @ v


def test_attention_and_its_gradients_equal_the_plain_softmax():
    def total(attention):
        return jax.jit(jax.value_and_grad(lambda *args: jnp.sin(attention(*args)).sum(), argnums=(0, 1, 2)))(Q, K, V)

    jax.tree.map(
        lambda ours, wanted: np.testing.assert_allclose(ours, wanted, atol=1e-5),
        total(lambda q, k, v: attend(q, k, v, MASK, None, 0.0)),
        total(plain),
    )


def test_dropped_weights_are_dropped_in_the_gradients_too():
    seed = jnp.array([1, 2], jnp.uint32)

    def mixed(v):
        return attend(Q, K, v, MASK, seed, 0.5)

    # Linear in the values: the gradient of a sum is the sum of the weights, dropped ones left out.
    weights = jax.jacobian(lambda v: mixed(v).sum(axis=(0, 1, 2, 3)))(V)
    np.testing.assert_allclose((weights * V).sum(), mixed(V).sum(), rtol=1e-5)
    assert not np.allclose(mixed(V), plain(Q, K, V), atol=1e-3)
