"""Ids to vectors and back to scores, with new ids in a table of their own."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import Vocabulary, cross_entropy
from motiongpt3_jax.models.constrain import unconstrained
from tests.models.tiny import drawn

SIZE, NEW, WIDTH = 5, 2, 3
VOCABULARY = Vocabulary(SIZE, NEW, WIDTH)
PARAMS = drawn(VOCABULARY.init, jnp.zeros(1, int))
ROWS = np.concatenate([PARAMS["table"], PARAMS["new"]])
HIDDEN = jax.random.normal(jax.random.key(1), (2, 4, WIDTH))


@partial(jax.jit, static_argnums=0)
def apply(method, x, params=PARAMS):
    return VOCABULARY.apply({"params": params}, x, method=method)


def test_new_ids_follow_the_base_ids():
    ids = jnp.arange(SIZE + NEW)
    np.testing.assert_array_equal(apply("embed", ids), ROWS)


def test_an_id_beyond_the_last_gives_nan():
    assert np.isnan(apply("embed", jnp.array([SIZE + NEW]))).all()


def test_scores_are_products_with_the_rows_and_minus_infinity_up_to_a_multiple_of_128():
    scores = apply("logits", HIDDEN)
    assert scores.shape == (2, 4, 128)
    np.testing.assert_allclose(scores[..., : SIZE + NEW], HIDDEN @ ROWS.T, atol=1e-6)
    assert (scores[..., SIZE + NEW :] == -jnp.inf).all()


def test_vectors_are_scaled_where_they_are_read_and_scores_are_capped():
    options, ids = {"params": PARAMS}, jnp.arange(SIZE + NEW)
    scaled, capped = VOCABULARY.clone(scale=3.0), VOCABULARY.clone(cap=0.01)
    tables = scaled.apply(options, method="tables")
    for given in (None, tables):
        np.testing.assert_allclose(scaled.apply(options, ids, given, method="embed"), 3 * ROWS, rtol=1e-6)
    np.testing.assert_array_equal(scaled.apply(options, HIDDEN, method="logits"), apply("logits", HIDDEN))
    found = capped.apply(options, HIDDEN, method="logits")[..., : SIZE + NEW]
    np.testing.assert_allclose(found, 0.01 * np.tanh(HIDDEN @ ROWS.T / 0.01), atol=1e-6)


def test_few_scores_are_those_of_many():
    one = apply("logits", HIDDEN[:1, :2])
    np.testing.assert_allclose(one, apply("logits", HIDDEN)[:1, :2], atol=1e-6)


def test_few_scores_join_no_tables():
    program = str(jax.make_jaxpr(lambda params, x: apply("logits", x, params))(PARAMS, HIDDEN[:1, :2]))
    assert "dot_general" in program
    assert f"f32[128,{WIDTH}]" not in program


def test_scores_of_rough_numbers_are_summed_and_kept_in_float32():
    rough = Vocabulary(SIZE, NEW, WIDTH, dtype="bfloat16")
    hidden, rows = (jnp.asarray(x, jnp.bfloat16).astype(jnp.float32) for x in (HIDDEN, ROWS))

    def total(params):
        return jnp.square(rough.apply({"params": params}, HIDDEN, method="logits")[..., : SIZE + NEW]).sum()

    scores = rough.apply({"params": PARAMS}, HIDDEN, method="logits")
    assert scores.dtype == jnp.float32
    np.testing.assert_allclose(scores[..., : SIZE + NEW], hidden @ rows.T, atol=1e-6)
    found = jax.grad(total)(PARAMS)
    wanted = 2 * jnp.einsum("...v,...w->vw", hidden @ rows.T, hidden)
    np.testing.assert_allclose(np.concatenate([found["table"], found["new"]]), wanted, rtol=0.02, atol=1e-3)


def test_a_full_table_needs_no_padding():
    vocabulary = Vocabulary(128, 0, WIDTH)
    params = vocabulary.init(jax.random.key(0), jnp.zeros(1, int))
    assert set(params["params"]) == {"table"}
    scores = vocabulary.apply(params, HIDDEN, method="logits")
    assert scores.shape == (2, 4, 128)
    assert jnp.isfinite(scores).all()


def test_gradients_are_those_of_the_joined_table():
    ids = jnp.array([[0, 1, 5, 6], [6, 2, 2, 4]])

    def ours(params, hidden):
        scores = apply("logits", hidden * apply("embed", ids, params), params)
        return jnp.sum(jax.nn.logsumexp(scores, axis=-1) ** 2)

    def plain(params, hidden):
        rows = jnp.concatenate([params["table"], params["new"]])
        return jnp.sum(jax.nn.logsumexp((hidden * rows[ids]) @ rows.T, axis=-1) ** 2)

    found, wanted = (jax.jit(jax.grad(f, argnums=(0, 1)))(PARAMS, HIDDEN) for f in (ours, plain))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, wanted)


def copies(name, x):
    return jnp.broadcast_to(x, (2, *x.shape[1:])) if name == "copies" else x


@pytest.mark.parametrize("tied", [True, False])
def test_gradients_of_copies_of_the_tables_are_those_of_one(tied):
    one, two = (Vocabulary(SIZE, NEW, WIDTH, tied=tied, constrain=hook) for hook in (unconstrained, copies))
    params = one.init(jax.random.key(2), jnp.zeros(1, int))
    ids = jnp.array([[0, 1, 5, 6], [6, 2, 2, 4]])

    def loss(vocabulary, shared, params):
        tables = vocabulary.apply(params, method="tables") if shared else None
        hidden = HIDDEN * vocabulary.apply(params, ids, tables, method="embed")
        return cross_entropy(vocabulary, params["params"], hidden, ids, jnp.ones(ids.shape), tables).loss

    wanted = jax.jit(jax.value_and_grad(partial(loss, one, False)))(params)
    for vocabulary in (one, two):
        found = jax.jit(jax.value_and_grad(partial(loss, vocabulary, True)))(params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, wanted)


def test_an_id_beyond_the_last_gives_nan_from_copies_too():
    vocabulary = Vocabulary(SIZE, NEW, WIDTH, constrain=copies)
    tables = vocabulary.apply({"params": PARAMS}, method="tables")
    found = vocabulary.apply({"params": PARAMS}, jnp.array([SIZE + NEW, 0]), tables, method="embed")
    np.testing.assert_array_equal(np.isnan(found).all(axis=-1), [True, False])
