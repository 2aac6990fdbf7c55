import numpy as np
import pytest

from motiongpt3_jax.motion import (
    HUMANML3D,
    KIT,
    canonicalise,
    features_to_joints,
    foot_contacts,
    joints_to_features,
    mirror,
)
from motiongpt3_jax.motion.features import canonical_to_features
from tests.motion.samples import body, dance

SKELETONS = pytest.mark.parametrize("skeleton", [HUMANML3D, KIT])


@SKELETONS
def test_features_give_the_canonical_motion_back(skeleton):
    joints, target = dance(skeleton, people=(2,)), 2 * body(skeleton)
    again = features_to_joints(joints_to_features(joints, skeleton, target), skeleton)
    np.testing.assert_allclose(again, canonicalise(joints, skeleton, target)[:, :-1], atol=1e-5)


def test_a_body_that_turns_past_its_back_comes_back_too():
    joints = dance(frames=200, turns=2.5)
    again = features_to_joints(joints_to_features(joints))
    np.testing.assert_allclose(again, canonicalise(joints)[:-1], atol=1e-5)


@SKELETONS
def test_shape_and_type(skeleton):
    features = joints_to_features(dance(skeleton, frames=5, people=(2, 3)).astype(np.float32), skeleton)
    assert features.shape == (2, 3, 4, skeleton.features)
    assert features.dtype == np.float32


def test_a_batch_is_its_motions():
    joints = dance(people=(3,))
    together = joints_to_features(joints, offsets=body())
    np.testing.assert_allclose(together, [joints_to_features(j, offsets=body()) for j in joints], atol=1e-6)


def test_features_forget_where_the_motion_stood():
    joints = dance()
    np.testing.assert_allclose(joints_to_features(joints + np.array([1, 2, 3])), joints_to_features(joints), atol=1e-6)


def test_kit_features_are_in_its_own_unit():
    joints = canonicalise(dance(KIT), KIT)
    heights = joints_to_features(joints, KIT)[:, 3]
    np.testing.assert_allclose(heights, 640 * joints[:-1, 0, 1], rtol=1e-6)


def test_a_foot_that_stands_touches_the_ground():
    joints = np.zeros((3, 22, 3))
    joints[1:, 8] += 0.05
    joints[2, 10] += 0.02
    np.testing.assert_array_equal(foot_contacts(joints), [[1, 1, 0, 1], [1, 1, 1, 1]])


def test_contacts_of_kit_are_stricter():
    joints = np.zeros((2, 21, 3))
    joints[1, [19, 15], 0] = 3e-4, 4e-4
    np.testing.assert_array_equal(foot_contacts(joints, KIT), [[1, 1, 1, 0]])


def test_the_mirrored_motion_turns_and_drifts_the_other_way_with_the_other_feet():
    joints = canonicalise(dance(frames=30))
    joints[:, [7, 8]] = joints[:1, [7, 8]]
    ours, mirrored = canonical_to_features(joints), canonical_to_features(mirror(joints))
    np.testing.assert_allclose(mirrored[:, :2], -ours[:, :2], atol=1e-6)
    np.testing.assert_allclose(mirrored[:, 2:4], ours[:, 2:4], atol=1e-6)
    np.testing.assert_array_equal(mirrored[:, -4:], ours[:, [-2, -1, -4, -3]])


@pytest.mark.parametrize("shape", [(1, 22, 3), (4, 21, 3), (22, 3)])
def test_wrong_shapes_are_named(shape):
    with pytest.raises(ValueError, match=r"expected \(\.\.\., frames, 22, 3\).* at least 2 frames"):
        joints_to_features(np.zeros(shape))
