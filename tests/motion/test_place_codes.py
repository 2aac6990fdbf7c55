import numpy as np

from motiongpt3_jax.motion.place_codes import FARTHEST, STEPS, YAWS, decode_places, encode_places


def test_codes_come_back_as_they_are():
    codes = np.stack([np.arange(STEPS) % YAWS, np.arange(STEPS), np.arange(STEPS)[::-1]], axis=-1)
    np.testing.assert_array_equal(encode_places(decode_places(codes)), codes)
    assert np.abs(decode_places(codes)[:, 0]).max() <= np.pi
    np.testing.assert_allclose(decode_places(codes)[[0, -1], 1], [-FARTHEST, FARTHEST])


def test_places_near_the_first_person_are_finest():
    x = np.linspace(-4, 4, 2001)
    error = np.abs(decode_places(encode_places(np.stack([x, x, -x], axis=-1)))[:, 1:] - np.stack([x, -x], -1)).max(-1)
    limits = ((0.2, 0.015), (1.0, 0.028), (2.0, 0.045), (4.0, 0.08))
    for distance, limit in limits:
        assert error[np.abs(x) <= distance].max() < limit
    yaw = np.linspace(-10, 10, 999)
    wrapped = decode_places(encode_places(np.stack([yaw, yaw, yaw], axis=-1)))[:, 0] - yaw
    assert np.abs((wrapped + np.pi) % (2 * np.pi) - np.pi).max() <= np.pi / YAWS + 1e-9


def test_what_is_farther_away_gets_the_last_code():
    np.testing.assert_array_equal(encode_places(np.array([np.pi, -9.0, 9.0])), [YAWS // 2, 0, STEPS - 1])


def test_the_mirror_of_a_place_is_that_of_its_codes():
    places = np.random.default_rng(0).normal(size=(50, 3))
    codes, mirrored = encode_places(places), encode_places(places * [-1, -1, 1])
    np.testing.assert_array_equal(mirrored, np.stack([-codes[:, 0] % YAWS, STEPS - 1 - codes[:, 1], codes[:, 2]], -1))
