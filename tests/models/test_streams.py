"""Which slots see which."""

import jax.numpy as jnp
import numpy as np

from motiongpt3_jax.models import KVCache, Stream, grow, unpack_cache, visible


def stream(positions, segments=None, attended=None):
    positions = jnp.array(positions)
    return Stream(
        embeddings=jnp.zeros((*positions.shape, 1)),
        positions=positions,
        segments=jnp.ones_like(positions) if segments is None else jnp.array(segments),
        attended=jnp.ones(positions.shape, bool) if attended is None else jnp.array(attended),
    )


def test_visible_is_causal_across_streams_and_blind_across_segments():
    text = stream([[0, 1, 4, 0]], [[1, 1, 1, 2]])
    motion = stream([[2, 3]])
    np.testing.assert_array_equal(visible(text, motion)[0], [[0, 0], [0, 0], [1, 1], [0, 0]])


def test_visible_within_a_stream_is_lower_triangular_in_each_segment():
    text = stream([[0, 1, 0]], [[1, 1, 2]])
    np.testing.assert_array_equal(visible(text, text)[0], [[1, 0, 0], [1, 1, 0], [0, 0, 1]])


def test_a_slot_that_is_not_attended_still_queries():
    text = stream([[0, 1]], attended=[[True, False]])
    np.testing.assert_array_equal(visible(text, text)[0], [[1, 0], [1, 0]])


def test_reserved_slots_are_seen_by_nobody():
    keys = [jnp.ones((1, 1, 2, 1))]
    cache = grow(KVCache(keys, keys, jnp.array([[0, 1]]), jnp.array([[1, 1]]), jnp.array([[True, True]])), 2)
    assert cache.keys[0].shape == (1, 1, 4, 1)
    np.testing.assert_array_equal(visible(stream([[5]]), cache)[0], [[1, 1, 0, 0]])


def test_an_unpacked_cache_holds_each_sequence_in_a_row_of_its_own():
    keys = [jnp.arange(1.0, 13.0).reshape(2, 2, 3, 1)]
    segments, positions = jnp.array([[1, 1, 2], [1, 0, 0]]), jnp.array([[0, 1, 0], [4, 0, 0]])
    packed = KVCache(keys, [-keys[0]], positions, segments, segments > 0)
    apart = unpack_cache(packed, jnp.array([[2, -1], [0, 1], [3, -1]]))
    np.testing.assert_array_equal(apart.keys[0][..., 0], [[[3, 0], [6, 0]], [[1, 2], [4, 5]], [[7, 0], [10, 0]]])
    np.testing.assert_array_equal(apart.values[0], -apart.keys[0])
    np.testing.assert_array_equal(apart.positions, [[0, 0], [0, 1], [4, 0]])
    np.testing.assert_array_equal(apart.segments, [[1, 0], [1, 1], [1, 0]])
    np.testing.assert_array_equal(apart.attended, apart.segments == 1)
