import numpy as np
import pytest

from motiongpt3_jax.motion.blending import blend_motions
from motiongpt3_jax.motion.ground_pose import GroundPose, ground_poses, move_to_pose
from tests.motion.samples import dance


def elsewhere(joints, place, yaw):
    return move_to_pose(joints, ground_poses(joints[0]), GroundPose(np.array(place), np.array(yaw)))


def test_the_parts_of_one_motion_become_it_again():
    whole = dance(frames=80)
    parts = [whole[:50], elsewhere(whole[30:], (4.0, -2.0), 2.0)]
    np.testing.assert_allclose(blend_motions(parts, 80, 20), whole, atol=1e-6)


def test_a_part_begins_where_its_pose_fits():
    whole = dance(frames=90)
    parts = [whole[:50], elsewhere(whole[23:], (1.0, 1.0), 0.5)]
    np.testing.assert_allclose(blend_motions(parts, 88, 20)[:80], whole[:80], atol=1e-6)


def test_different_motions_go_over_into_each_other_without_a_jump():
    parts = [dance(frames=60, seed=seed) for seed in range(3)]
    blended = blend_motions(parts, 130, 20)
    steps = np.linalg.norm(np.diff(blended, axis=0), axis=-1)
    alone = max(np.linalg.norm(np.diff(part, axis=0), axis=-1).max() for part in parts)
    assert len(blended) == 130
    assert steps.max() < 3 * alone


def test_parts_that_are_too_short_are_refused():
    with pytest.raises(ValueError, match=r"parts of \[30, 30\] frames do not make 60"):
        blend_motions([dance(frames=30)] * 2, 60, 10)
