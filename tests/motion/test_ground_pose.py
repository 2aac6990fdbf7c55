import numpy as np
import pytest

from motiongpt3_jax.motion import rotations
from motiongpt3_jax.motion.ground_pose import GroundPose, ground_poses, move_to_pose, wrap_angle
from tests.motion.samples import dance


def test_a_body_turned_to_the_left_faces_plus_x():
    joints = dance(frames=8)
    yaw = ground_poses(joints).yaw[0]
    turned_body = rotations.rotate(rotations.about_y(np.full((1, 1), np.pi / 2 - yaw)), joints)
    assert ground_poses(turned_body).yaw[0] == pytest.approx(np.pi / 2, abs=1e-6)


def test_a_moved_motion_starts_in_its_goal_and_keeps_its_shape():
    joints = dance(frames=12)
    start = ground_poses(joints[0])
    goal = GroundPose(np.array([2.0, -1.0]), np.array(1.2))
    moved = move_to_pose(joints, start, goal)
    np.testing.assert_allclose(ground_poses(moved[0]).place, goal.place, atol=1e-9)
    assert ground_poses(moved[0]).yaw == pytest.approx(1.2)
    np.testing.assert_allclose(moved[..., 1], joints[..., 1], atol=1e-12)
    between = np.linalg.norm(joints[:, None] - joints[:, :, None], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(moved[:, None] - moved[:, :, None], axis=-1), between, atol=1e-9)


def test_each_frame_can_be_moved_by_itself():
    joints = dance(frames=6)
    start = ground_poses(joints)
    goal = GroundPose(start.place + np.arange(6)[:, None], start.yaw + 0.1 * np.arange(6))
    poses = ground_poses(move_to_pose(joints, start, goal))
    np.testing.assert_allclose(poses.place, goal.place, atol=1e-9)
    np.testing.assert_allclose(wrap_angle(poses.yaw - goal.yaw), 0, atol=1e-9)


def test_angles_are_brought_to_half_a_turn_either_way():
    np.testing.assert_allclose(
        wrap_angle(np.array([0, 3.5, -3.5, 2 * np.pi])), [0, 3.5 - 2 * np.pi, 2 * np.pi - 3.5, 0]
    )
