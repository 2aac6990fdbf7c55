import numpy as np
import pytest

from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.pictures.camera import view_axes
from motiongpt3_jax.motion.pictures.figure import as_figure
from motiongpt3_jax.motion.skeleton import KIT


def turned(joints, angle):
    c, s = np.cos(angle), np.sin(angle)
    return joints @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def test_the_lowest_point_of_a_motion_is_on_the_floor(walking):
    motion = walking()
    assert as_figure(Motion(motion.joints + np.float32(3))).joints[..., 1].min() == 0


def test_facing_is_the_angle_from_z_towards_x(walking):
    motion = walking(frames=2)
    np.testing.assert_allclose(as_figure(motion).facing(), 0, atol=1e-6)
    np.testing.assert_allclose(as_figure(Motion(turned(motion.joints, 0.7))).facing(), 0.7, atol=1e-6)


def test_facing_is_held_where_the_hips_stand_on_end(walking):
    joints = turned(walking(frames=4).joints, 0.7)
    joints[0, [0, 2], 1] = joints[0, [0, 2], 2] + np.float32([0, 0.2, 0])
    np.testing.assert_allclose(as_figure(Motion(joints)).facing(), 0.7, atol=1e-6)


def test_a_bone_has_the_side_of_its_lower_joint(walking):
    bones = as_figure(walking()).bones
    assert (0, 1, "left") in bones
    assert (9, 14, "right") in bones
    assert (12, 15, "middle") in bones
    assert len(bones) == 21


def test_height_is_that_of_the_standing_body(walking):
    assert 1.5 < as_figure(walking()).height() < 1.8


def test_other_skeletons_are_drawn_too():
    figure = as_figure(Motion(np.random.default_rng(0).normal(size=(1, 3, 21, 3)), skeleton=KIT))
    assert figure.sides.count("left") == figure.sides.count("right") == 8
    assert figure.head == 4


@pytest.mark.parametrize("away", [[0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 1]])
def test_two_people_are_seen_beside_each_other(walking, away):
    joints = walking(frames=2).joints[0]
    figure = as_figure(Motion(np.stack([joints, joints + np.float32(away)])))
    right = view_axes(figure.front(), 0.0)[0]
    assert abs(right @ away) == pytest.approx(np.linalg.norm(away))
    assert abs(figure.front() - figure.facing()[0, 0]) <= np.pi / 2 + 0.1


def test_one_person_and_two_in_one_place_are_seen_from_the_front(walking):
    joints = turned(walking(frames=2).joints[0], 0.7)
    for people in (1, 2):
        assert as_figure(Motion(np.stack([joints] * people))).front() == pytest.approx(0.7, abs=1e-6)
