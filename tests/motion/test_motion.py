import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D, KIT, Motion
from tests.motion.samples import body, dance


def test_motion_keeps_float32_and_its_length():
    motion = Motion(dance(frames=5)[None], fps=10)
    assert motion.joints.dtype == np.float32
    assert (motion.persons, motion.frames, motion.seconds, motion.skeleton) == (1, 5, 0.5, HUMANML3D)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 4, 24, 3), r"24 joints look like full SMPL: drop the two hands with joints\[..., :22, :\]"),
        ((1, 4, 52, 3), "52 joints look like SMPL-H"),
        ((4, 22, 3), r"expected \(persons, frames, 22, 3\).*\n.*joints\[None\]"),
        ((1, 4, 21, 3), r"shape \(1, 4, 21, 3\); expected \(persons, frames, 22, 3\) for the skeleton 'humanml3d'"),
        ((1, 0, 22, 3), "empty"),
    ],
)
def test_wrong_shapes_are_named(shape, message):
    with pytest.raises(ValueError, match=message):
        Motion(np.zeros(shape, np.float32))


def test_the_first_value_that_is_not_finite_is_named():
    joints = np.zeros((2, 3, 22, 3))
    joints[1, 2, 20, 1] = np.nan
    with pytest.raises(ValueError, match=r"1 values .* person 1, frame 2, joint 20 \(left_wrist\)"):
        Motion(joints)


def test_integers_are_refused():
    with pytest.raises(ValueError, match="type int64"):
        Motion(np.zeros((1, 2, 22, 3), np.int64))


@pytest.mark.parametrize("fps", [0, -1, np.nan, "20"])
def test_fps_is_a_positive_number(fps):
    with pytest.raises(ValueError, match="fps"):
        Motion(np.zeros((1, 2, 22, 3)), fps=fps)


@pytest.mark.parametrize(("skeleton", "features"), [(HUMANML3D, 263), (KIT, 251)])
def test_skeleton_counts_its_features(skeleton, features):
    assert skeleton.features == features


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT])
class TestSkeleton:
    def test_every_joint_has_one_bone(self, skeleton):
        ends = [joint for chain in skeleton.chains for joint in chain[1:]]
        assert sorted(ends) == list(range(1, len(skeleton.joints)))

    def test_parents_stand_before_their_children(self, skeleton):
        assert all(parent < child for child, parent in enumerate(skeleton.parents))

    def test_sides_exchange_names(self, skeleton):
        for left, right in skeleton.sides:
            assert skeleton.joints[left].replace("left", "right") == skeleton.joints[right]
        assert sum("left" in name for name in skeleton.joints) == len(skeleton.sides)

    def test_offsets_are_rest_bones_with_the_lengths_of_the_pose(self, skeleton):
        np.testing.assert_allclose(skeleton.offsets(dance(skeleton)[0]), body(skeleton), atol=1e-12)
