"""The EMA codebook: look-up, sums that add up over micro-batches, initialisation, re-seeding."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.models import (
    advance_codebook,
    effective_rank,
    empty_codebook,
    nearest_codes,
    perplexity,
    quantise,
    reseed_slots,
    straight_through,
)
from motiongpt3_jax.models.codebook import ReseedSlots

CODES, WIDTH = 8, 4
VECTORS = np.asarray(jax.random.normal(jax.random.key(0), (6, 5, WIDTH)))
VALID = np.arange(5) < np.array([5, 2, 4, 0, 5, 3])[:, None]


def book(table=None, counts=1.0):
    table = jax.random.normal(jax.random.key(1), (CODES, WIDTH)) if table is None else jnp.asarray(table)
    counts = jnp.broadcast_to(jnp.asarray(counts), (len(table),))
    return {"table": table, "sums": table * counts[:, None], "counts": counts, "initialised": jnp.ones((), bool)}


@partial(jax.jit, static_argnames=("permuted", "codes"))
def deal(key, valid, permuted=True, codes=CODES):
    return reseed_slots(jax.random.key(key), valid, codes, WIDTH, permuted)


look_up, move = jax.jit(quantise), jax.jit(advance_codebook)


def micro_batches(slots, pieces):
    """Rows and draws dealt out as a train step with accumulation does."""
    for piece in range(pieces):
        yield VECTORS[piece::pieces], ReseedSlots(slots.ranks[piece::pieces], slots.total, slots.noise)


def assert_trees_close(ours, wanted, atol=1e-6):
    jax.tree.map(partial(np.testing.assert_allclose, atol=atol), ours, wanted)


def test_the_nearest_code_is_that_of_least_distance():
    table = book()["table"]
    distances = np.square(VECTORS[..., None, :] - np.asarray(table)).sum(axis=-1)
    np.testing.assert_array_equal(nearest_codes(table, VECTORS), distances.argmin(axis=-1))
    usable = np.arange(CODES) % 2 == 1
    wanted = np.where(usable, distances, np.inf).argmin(axis=-1)
    np.testing.assert_array_equal(nearest_codes(table, VECTORS, usable), wanted)


def test_straight_through_has_the_value_of_the_code_and_the_gradient_of_the_vector():
    value, gradient = jax.value_and_grad(lambda z: (straight_through(z, 3.0 * z) ** 2).sum())(jnp.array([2.0]))
    assert float(value) == 36.0
    assert float(gradient[0]) == 12.0


def test_an_update_is_the_moving_average_of_what_each_code_replaced():
    before = book(counts=2.0)
    quantised = look_up(before, VECTORS, deal(0, VALID))
    after = move(before, quantised.sums)
    codes = np.asarray(nearest_codes(before["table"], VECTORS))
    np.testing.assert_array_equal(quantised.codes, codes)
    np.testing.assert_array_equal(quantised.vectors, before["table"][codes])
    for code in range(CODES):
        mine = VECTORS[VALID & (codes == code)]
        count, total = 0.99 * 2.0 + 0.01 * len(mine), 0.99 * before["sums"][code] + 0.01 * mine.sum(axis=0)
        np.testing.assert_allclose(after["counts"][code], count, rtol=1e-6)
        np.testing.assert_allclose(after["sums"][code], total, atol=1e-6)
        np.testing.assert_allclose(after["table"][code], total / count, atol=1e-6)
    assert float(quantised.sums["counts"].sum()) == VALID.sum()


def test_what_padding_holds_moves_nothing():
    noisy = np.where(VALID[..., None], VECTORS, 100.0)
    slots = deal(0, VALID)
    for codebook in (book(), empty_codebook(CODES, WIDTH)):
        assert_trees_close(look_up(codebook, noisy, slots).sums, look_up(codebook, VECTORS, slots).sums, atol=0)


@pytest.mark.parametrize("permuted", [True, False])
def test_sums_of_micro_batches_add_up_to_those_of_the_batch(permuted):
    codebook, slots = book(), deal(3, VALID, permuted)
    whole = look_up(codebook, VECTORS, slots).sums
    parts = [look_up(codebook, *piece).sums for piece in micro_batches(slots, 3)]
    assert_trees_close(jax.tree.map(lambda *x: sum(x), *parts), whole)


@pytest.mark.parametrize(("permuted", "counted"), [(True, VALID), (False, VALID & (np.arange(6) % 3 < 2)[:, None])])
def test_a_first_batch_in_micro_batches_seeds_the_same_codes_and_counts_a_vector_once(permuted, counted):
    # In the order of the places the first two rows seed all codes; a micro-batch without any of those counts nowhere.
    codebook, slots = empty_codebook(CODES - 1, WIDTH), deal(3, VALID, permuted, CODES - 1)
    whole = look_up(codebook, VECTORS, slots).sums
    parts = [look_up(codebook, *piece).sums for piece in micro_batches(slots, 3)]
    total = jax.tree.map(lambda *x: sum(x), *parts)
    np.testing.assert_array_equal(total["seeds"], whole["seeds"])
    assert float(total["counts"].sum()) == counted.sum()
    np.testing.assert_allclose(total["sums"].sum(axis=0), VECTORS[counted].sum(axis=0), atol=1e-5)
    after = move(codebook, total)
    assert bool(after["initialised"])
    assert np.isfinite(after["table"]).all()


def test_a_first_batch_becomes_the_codebook_that_it_is_looked_up_in():
    quantised = look_up(empty_codebook(CODES, WIDTH), VECTORS, deal(0, VALID, False))
    first = VECTORS[VALID][:CODES]
    np.testing.assert_array_equal(quantised.sums["seeds"], first)
    np.testing.assert_array_equal(quantised.codes[VALID], nearest_codes(first, VECTORS[VALID]))
    np.testing.assert_array_equal(quantised.codes[VALID][:CODES], np.arange(CODES))
    after = move(empty_codebook(CODES, WIDTH), quantised.sums)
    np.testing.assert_allclose(after["counts"], 0.99 + 0.01 * np.bincount(quantised.codes[VALID], minlength=CODES))


def test_fewer_vectors_than_codes_are_repeated_with_a_little_noise():
    few = VALID & (np.arange(6) == 1)[:, None]
    slots = deal(0, few)
    seeds = np.asarray(look_up(book(), VECTORS, slots).sums["seeds"])
    order = np.argsort(np.asarray(slots.ranks)[1, :2])
    repeated = np.tile(VECTORS[1, :2][order], (CODES // 2, 1))
    np.testing.assert_allclose(seeds, repeated + 0.01 / 2 * np.asarray(slots.noise[0]), atol=1e-6)
    assert len(np.unique(seeds[:, 0])) == CODES


def test_codes_that_are_hardly_used_are_replaced_and_keep_their_averages():
    far = np.full((CODES, WIDTH), 50.0)
    far[0] = 0.0
    before = book(far, counts=np.array([3.0, 1.5, *[1.0] * 6]))
    slots = deal(5, VALID)
    quantised = look_up(before, VECTORS, slots)
    after = move(before, quantised.sums)
    np.testing.assert_array_equal(quantised.codes, 0)
    np.testing.assert_allclose(after["table"][1], 50.0, rtol=1e-6)
    np.testing.assert_array_equal(after["table"][2:], quantised.sums["seeds"][2:])
    np.testing.assert_allclose(after["counts"][2:], 0.99)
    np.testing.assert_allclose(after["sums"][2:], 0.99 * 50.0, rtol=1e-6)


def test_a_code_hit_once_in_every_batch_is_never_replaced():
    table = VECTORS[0, :1]
    codebook = book(table)
    sums = {"sums": table, "counts": jnp.ones(1), "seeds": 0 * table}
    for _ in range(5):
        codebook = move(codebook, sums)
    assert float(codebook["counts"][0]) == 1.0
    np.testing.assert_allclose(codebook["table"], table, rtol=1e-6)


def test_a_batch_without_vectors_changes_nothing():
    none = np.zeros_like(VALID)
    for before in (book(counts=0.5), empty_codebook(CODES, WIDTH)):
        assert_trees_close(move(before, look_up(before, VECTORS, deal(0, none)).sums), before, atol=0)


def test_seeds_are_dealt_to_valid_places_alone_and_in_an_order_that_the_key_decides():
    first, second = deal(0, VALID), deal(1, VALID)
    for slots in (first, second, deal(0, VALID, False)):
        assert int(slots.total) == VALID.sum()
        np.testing.assert_array_equal(np.sort(slots.ranks[VALID]), np.arange(VALID.sum()))
        assert (np.asarray(slots.ranks)[~VALID] == -1).all()
    assert (first.ranks != second.ranks).any()
    np.testing.assert_array_equal(deal(0, VALID, False).ranks[VALID], np.arange(VALID.sum()))


def test_no_gradient_comes_back_from_the_sums():
    def total(z):
        return sum(x.sum() for x in jax.tree.leaves(quantise(book(), z, deal(0, VALID)).sums))

    assert not jax.jit(jax.grad(total))(VECTORS).any()


def test_perplexity_and_effective_rank_tell_how_much_of_a_codebook_is_in_use():
    assert float(perplexity(jnp.array([4.0, 4.0, 0.0, 4.0]))) == pytest.approx(3.0, rel=1e-4)
    assert float(perplexity(jnp.zeros(4))) == pytest.approx(1.0)
    corners = np.concatenate([np.eye(WIDTH), -np.eye(WIDTH)])
    assert float(effective_rank(corners)) == pytest.approx(WIDTH, rel=1e-4)
    assert float(effective_rank(corners * np.eye(WIDTH)[0])) == pytest.approx(1.0, abs=1e-3)
    assert float(effective_rank(jnp.zeros((CODES, WIDTH)))) == pytest.approx(1.0)
