"""Relative position bias: buckets of distances, and the table's gradient."""

import jax
import jax.numpy as jnp
import numpy as np

from motiongpt3_jax.models.relative_bias import RelativeBias, relative_buckets

DISTANCES = jnp.arange(-40, 41)


def test_near_distances_have_buckets_of_their_own_and_far_ones_share_the_last():
    both = np.asarray(relative_buckets(DISTANCES, 16, 32, True))
    past = np.asarray(relative_buckets(DISTANCES, 16, 32, False))
    np.testing.assert_array_equal(both[36:45], [4, 3, 2, 1, 0, 9, 10, 11, 12])
    np.testing.assert_array_equal(past[32:45], [8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0])
    assert both[DISTANCES <= -32].tolist() == [7] * 9
    assert both[DISTANCES >= 32].tolist() == [15] * 9
    assert past[DISTANCES <= -32].tolist() == [15] * 9
    assert (np.diff(past) <= 0).all()


def test_a_bias_is_the_tables_number_by_distance_and_head():
    bias, positions = RelativeBias(3, 8, 16, both_sides=True), jnp.array([[0, 1, 2, 9], [5, 0, 1, 2]])
    params = bias.init(jax.random.key(0), positions, positions)
    table = np.asarray(params["params"]["table"])
    found = bias.apply(params, positions[:, :2], positions)
    for row, query, key in np.ndindex(2, 2, 4):
        bucket = relative_buckets(positions[row, key] - positions[row, query], 8, 16, True)
        np.testing.assert_array_equal(found[row, :, query, key], table[bucket])


def test_the_tables_gradient_sums_over_the_places_of_each_bucket():
    bias, positions = RelativeBias(3, 8, 16), jnp.array([[0, 1, 2, 9], [5, 0, 1, 2]])
    params = bias.init(jax.random.key(0), positions, positions)["params"]
    weights = jax.random.normal(jax.random.key(1), (2, 3, 4, 4))
    found = jax.grad(lambda p: (bias.apply({"params": p}, positions, positions) * weights).sum())(params)["table"]
    buckets = relative_buckets(positions[:, None, :] - positions[:, :, None], 8, 16, False)
    wanted = np.zeros((8, 3))
    np.add.at(wanted, np.asarray(buckets), np.moveaxis(np.asarray(weights), 1, 3))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
