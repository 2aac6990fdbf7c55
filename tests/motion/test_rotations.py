import numpy as np
import pytest

from motiongpt3_jax.motion import rotations

X, Y, Z = np.eye(3)


def some(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def quaternions(*shape: int, seed: int = 0) -> np.ndarray:
    q = rotations.unit(some(*shape, 4, seed=seed))
    return np.where(q[..., :1] < 0, -q, q)


def test_multiply_turns_by_the_second_first():
    a, b, v = quaternions(2, 3), quaternions(2, 3, seed=1), some(2, 3, 3)
    both = rotations.rotate(rotations.multiply(a, b), v)
    np.testing.assert_allclose(both, rotations.rotate(a, rotations.rotate(b, v)), atol=1e-12)


def test_inverse_undoes():
    q, v = quaternions(3), some(3, 3)
    np.testing.assert_allclose(rotations.rotate(rotations.inverse(q), rotations.rotate(q, v)), v, atol=1e-12)


def test_rotate_is_the_rotation_matrix():
    q, v = quaternions(2, 3), some(2, 3, 3)
    expected = np.einsum("...ij,...j->...i", rotations.to_matrix(q), v)
    np.testing.assert_allclose(rotations.rotate(q, v), expected, atol=1e-12)


def test_about_y_turns_z_towards_x():
    np.testing.assert_allclose(rotations.rotate(rotations.about_y(np.pi / 2), Z), X, atol=1e-12)


def test_between_turns_the_first_into_the_second():
    a, b = some(4, 3), some(4, 3, seed=1)
    turned = rotations.rotate(rotations.between(a, b), rotations.unit(a))
    np.testing.assert_allclose(turned, rotations.unit(b), atol=1e-12)


@pytest.mark.parametrize("axis", [X, Y, Z, -X, rotations.unit([1.0, 2.0, -3.0])])
def test_between_opposite_vectors_is_a_half_turn(axis):
    q = rotations.between(axis, -axis)
    assert np.linalg.norm(q) == pytest.approx(1)
    np.testing.assert_allclose(rotations.rotate(q, axis), -axis, atol=1e-7)


def test_between_with_a_vector_of_no_length_is_no_rotation():
    np.testing.assert_array_equal(rotations.between(X, np.zeros(3)), [1, 0, 0, 0])


def test_6d_is_the_first_two_columns():
    q = quaternions(3)
    expected = np.concatenate([rotations.to_matrix(q)[..., 0], rotations.to_matrix(q)[..., 1]], axis=-1)
    np.testing.assert_allclose(rotations.to_6d(q), expected, atol=1e-12)


def test_matrices_there_and_back():
    q = quaternions(2, 5)
    np.testing.assert_allclose(rotations.from_matrix(rotations.to_matrix(q)), q, atol=1e-12)


@pytest.mark.parametrize("axis", [X, Y, Z])
def test_from_matrix_of_half_turns(axis):
    q = np.concatenate([[0.0], axis])
    np.testing.assert_allclose(np.abs(rotations.from_matrix(rotations.to_matrix(q))), q, atol=1e-12)


def test_precision_of_the_input_is_kept():
    q = quaternions(3).astype(np.float32)
    for result in (rotations.multiply(q, q), rotations.to_6d(q), rotations.between(q[:, 1:], q[:, :3])):
        assert result.dtype == np.float32


def test_axis_angles_come_back_and_turn_the_shorter_way():
    q = quaternions(5)
    vector = rotations.to_axis_angle(-q)
    assert (np.linalg.norm(vector, axis=-1) <= np.pi).all()
    np.testing.assert_allclose(rotations.from_axis_angle(vector), q, atol=1e-12)
    np.testing.assert_allclose(rotations.to_axis_angle(rotations.about_y(0.5)), [0, 0.5, 0], atol=1e-12)
    np.testing.assert_array_equal(rotations.to_axis_angle(np.array([1.0, 0, 0, 0])), 0)
