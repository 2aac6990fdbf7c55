import jax
import jax.numpy as jnp
import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D, KIT, features_to_joints, joints_to_features
from tests.motion.samples import dance


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT])
def test_jax_equals_numpy(skeleton):
    features = joints_to_features(dance(skeleton, frames=40, people=(2,)), skeleton)
    with jax.numpy_rank_promotion("raise"):
        ours = jax.jit(features_to_joints, static_argnums=1)(jnp.asarray(features), skeleton)
    assert isinstance(ours, jax.Array)
    np.testing.assert_allclose(ours, features_to_joints(features, skeleton), atol=1e-5)


def test_gradients_are_finite_and_a_velocity_moves_only_later_frames():
    features = jnp.asarray(joints_to_features(dance(frames=5)))
    gradient = jax.jit(jax.grad(lambda x: features_to_joints(x)[2].sum()))(features)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(np.any(gradient[:, :3] != 0, axis=1), [True, True, False, False])


def test_a_batch_is_its_motions():
    features = joints_to_features(dance(people=(3,)))
    np.testing.assert_array_equal(features_to_joints(features), [features_to_joints(f) for f in features])


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"shape \(4, 251\); expected \(\.\.\., frames, 263\)"):
        features_to_joints(np.zeros((4, 251)))
