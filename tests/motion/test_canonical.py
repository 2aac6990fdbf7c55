import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D, KIT, canonicalise, rotations
from motiongpt3_jax.motion.canonical import face_forward, leg_scale, to_floor, uniform_skeleton
from motiongpt3_jax.motion.kinematics import (
    bone_rotations,
    chain_forward_kinematics,
    facing,
    feature_heading,
    gaussian_smooth,
)
from tests.motion.samples import body, dance

SKELETONS = pytest.mark.parametrize("skeleton", [HUMANML3D, KIT])


@SKELETONS
def test_pose_undoes_bone_rotations(skeleton):
    joints = dance(skeleton)
    for smooth in (False, True):
        again = chain_forward_kinematics(
            bone_rotations(joints, skeleton, smooth), joints[:, 0], body(skeleton), skeleton
        )
        np.testing.assert_allclose(again, joints, atol=1e-9)


@SKELETONS
def test_uniform_skeleton_has_the_targets_bones_and_the_motions_directions(skeleton):
    joints, target = dance(skeleton), body(skeleton) * np.linspace(1, 2, len(skeleton.joints))[:, None]
    ours = uniform_skeleton(joints, target, skeleton)
    np.testing.assert_allclose(skeleton.offsets(ours), np.broadcast_to(target, ours.shape), atol=1e-9)
    parents = list(skeleton.parents[1:])
    directions = [rotations.unit(j[:, 1:] - j[:, parents]) for j in (ours, joints)]
    np.testing.assert_allclose(*directions, atol=1e-9)


def test_uniform_skeleton_scales_the_path_with_the_legs():
    joints = dance()
    ours = uniform_skeleton(joints, 3 * body())
    np.testing.assert_allclose(ours[:, 0], 3 * joints[:, 0], atol=1e-9)


def test_leg_scale_of_every_motion_of_a_batch():
    joints = np.stack([dance(), 2 * dance()])
    np.testing.assert_allclose(leg_scale(joints, body()), [[[1]], [[0.5]]], atol=1e-12)


def test_to_floor_puts_the_lowest_joint_at_0_and_the_root_above_the_origin():
    joints = to_floor(dance(people=(2,)))
    np.testing.assert_allclose(joints[..., 1].min(axis=(1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(joints[:, 0, 0, [0, 2]], 0, atol=1e-12)


@SKELETONS
def test_face_forward_faces_z_in_the_first_frame_only(skeleton):
    headings = facing(face_forward(dance(skeleton), skeleton), skeleton)
    np.testing.assert_allclose(headings[0], [1, 0, 0, 0], atol=1e-9)
    assert np.abs(headings[-1, 2]) > 0.1


def test_canonicalise_forgets_where_the_motion_stood():
    joints = dance()
    moved = rotations.rotate(rotations.about_y(2.0), joints) + np.array([3, 1, -2])
    np.testing.assert_allclose(canonicalise(moved), canonicalise(joints), atol=1e-9)


def test_a_left_side_at_plus_x_faces_plus_z():
    rest = chain_forward_kinematics(np.broadcast_to([1.0, 0, 0, 0], (2, 22, 4)), np.zeros((2, 3)), body())
    assert rest[0, HUMANML3D.joints.index("left_shoulder"), 0] > 0
    np.testing.assert_allclose(facing(rest), [[1, 0, 0, 0]] * 2, atol=1e-12)


def test_feature_heading_takes_the_first_frame_for_forward():
    np.testing.assert_array_equal(feature_heading(dance())[0], [1, 0, 0, 0])


def test_smoothed_is_a_gaussian_average_with_repeated_ends():
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    weights = np.exp(-0.5 * (np.arange(-4, 5) / 1.0) ** 2)
    places = np.clip(np.arange(5)[:, None] + np.arange(-4, 5), 0, 4)
    expected = np.einsum("bfkn,k->bfn", x[:, places], weights / weights.sum())
    np.testing.assert_allclose(gaussian_smooth(x, sigma=1.0), expected, atol=1e-12)


def test_a_body_without_width_or_legs_gives_finite_numbers():
    joints = np.zeros((3, 22, 3))
    assert np.isfinite(canonicalise(joints, offsets=body())).all()
