"""Cross-entropy in chunks: that of the whole logits, with no gradient, and no logits, that nobody needs."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import Vocabulary, cross_entropy

ROWS, SLOTS, WIDTH, SIZE, NEW = 4, 10, 6, 150, 2
RNG = np.random.default_rng(0)
HIDDEN = jnp.asarray(RNG.normal(size=(ROWS, SLOTS, WIDTH)), jnp.float32)
TARGETS = jnp.asarray(RNG.integers(0, SIZE + NEW, (ROWS, SLOTS)))
UNEVEN = jnp.asarray((RNG.random((ROWS, SLOTS)) < 0.3) * RNG.choice([0.5, 1, 2], (ROWS, SLOTS)), jnp.float32)
WEIGHTS = jnp.stack([jnp.zeros((ROWS, SLOTS)), UNEVEN, 1 + UNEVEN])
"""No target, few, and all."""


def made(**options):
    vocabulary = Vocabulary(SIZE, NEW, WIDTH, std=1.0, **options)
    return vocabulary, vocabulary.init(jax.random.key(0), jnp.zeros(1, int))["params"]


def ours(vocabulary, weights, targets=TARGETS, groups=1):
    def constrain(name, x):
        return jnp.broadcast_to(x, (groups, *x.shape[1:])) if name == "copies" else x

    vocabulary = vocabulary.clone(constrain=constrain)

    def loss(params, hidden):
        found = cross_entropy(vocabulary, params, hidden, targets, weights, chunk=7)
        return 3 * found.loss, found.right

    return loss


def whole(vocabulary, weights, targets=TARGETS):
    def loss(params, hidden):
        logits = vocabulary.apply({"params": params}, hidden, method="logits")
        losses = jax.nn.logsumexp(logits, -1) - jnp.take_along_axis(logits, targets[..., None], -1)[..., 0]
        return 3 * (losses * weights).sum(), (logits.argmax(-1) == targets) & (weights > 0)

    return loss


def over_all_weights(loss, vocabulary, params, hidden, **options):
    def one(weights):
        return jax.value_and_grad(loss(vocabulary, weights, **options), argnums=(0, 1), has_aux=True)(params, hidden)

    return jax.jit(lambda: jax.lax.map(one, WEIGHTS))()


def assert_near(found, wanted, tolerance):
    """Each array, by its norm."""
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert a.shape == b.shape
        assert np.linalg.norm(np.asarray(a - b, np.float64)) <= tolerance * max(np.linalg.norm(b), 1)


@pytest.mark.parametrize(("tied", "groups", "cap"), [(True, 1, None), (False, 2, None), (True, 3, 4.0)])
def test_sums_and_gradients_are_those_of_the_whole_logits(tied, groups, cap):
    vocabulary, params = made(tied=tied, cap=cap)
    best = vocabulary.apply({"params": params}, HIDDEN, method="logits").argmax(-1)
    targets = TARGETS.at[:, ::2].set(best[:, ::2])
    (found, right), gradients = over_all_weights(ours, vocabulary, params, HIDDEN, targets=targets, groups=groups)
    (wanted, right_too), gradients_too = over_all_weights(whole, vocabulary, params, HIDDEN, targets=targets)
    assert_near((found, gradients), (wanted, gradients_too), 1e-6)
    np.testing.assert_array_equal(right, right_too)
    assert right[1:].any(axis=(1, 2)).all()
    assert not right[0].any()


def test_rough_numbers_have_the_sums_of_the_whole_logits_and_their_gradients_to_rounding():
    vocabulary, params = made(dtype="bfloat16")
    hidden = HIDDEN.astype(jnp.bfloat16)
    (found, _), gradients = over_all_weights(ours, vocabulary, params, hidden)
    (wanted, _), gradients_too = over_all_weights(whole, vocabulary, params, hidden)
    assert_near(found, wanted, 1e-6)
    in_float32 = jax.tree.map(lambda x: x.astype(jnp.float32), (gradients, gradients_too))
    assert_near(*in_float32, 0.01)


def program(argnum):
    """The compiled loss and gradient of one part, at a size at which products stand out."""
    vocabulary = Vocabulary(SIZE, NEW, 16)
    params = vocabulary.init(jax.random.key(0), jnp.zeros(1, int))["params"]
    hidden, zeros = jnp.ones((2, 256, 16)), jnp.zeros((2, 256), int)

    def loss(new, table, hidden):
        params = {"new": new, "table": table}
        return cross_entropy(vocabulary, params, hidden, zeros, jnp.ones((2, 256)), chunk=64).loss

    return jax.jit(jax.grad(loss, argnums=argnum)).lower(params["new"], params["table"], hidden)


def test_while_only_new_ids_train_no_gradient_of_the_base_table_is_computed():
    products = re.compile(r"dot_general.*-> tensor<(.*?)>")
    assert "1x256x16xf32" in products.findall(program(1).as_text())
    assert "1x256x16xf32" not in products.findall(program(0).as_text())


def test_logits_of_all_slots_are_never_held():
    text = program((0, 1, 2)).as_text()
    assert "1x64x256xf32" in text
    assert not re.search(r"(2x256|512|1x512)x256xf32", text)
