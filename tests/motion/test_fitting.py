from dataclasses import replace

import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D, KIT, Skeleton, rotations
from motiongpt3_jax.motion.fitting import Fitted, bones_change, children_of, fit, forward_kinematics, local_translations
from motiongpt3_jax.motion.rest import rest_of
from tests.motion.real import real_motions
from tests.motion.samples import dance

SKELETONS = pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda skeleton: skeleton.name)


def about(axis: tuple[int, int, int], degrees: float) -> np.ndarray:
    half = np.radians(degrees) / 2
    return np.array([np.cos(half), *(np.sin(half) * np.array(axis))])


def body(skeleton: Skeleton = HUMANML3D, frames: int = 1, **turns: np.ndarray) -> Fitted:
    """A body of average size in T-pose, but for the joints that are named."""
    offsets = np.array(rest_of(skeleton).bones) / 100
    local = np.tile([1.0, 0, 0, 0], (frames, len(offsets), 1))
    for name, turn in turns.items():
        local[:, skeleton.joints.index(name)] = turn
    return Fitted(offsets, local, np.tile([0.5, 1.0, 0.0], (frames, 1)))


def moving(skeleton: Skeleton = HUMANML3D, frames: int = 30, seed: int = 0) -> Fitted:
    """A body all of whose joints move, and which turns round twice."""
    rng = np.random.default_rng(seed)
    still, time = body(skeleton, frames), np.linspace(0, 1, frames)[:, None, None]
    wave = rng.normal(size=(1, len(skeleton.joints), 3)) * np.sin(4 * time + rng.normal(size=(len(skeleton.joints), 3)))
    local = rotations.unit(np.concatenate([np.ones_like(wave[..., :1]), wave / 4], axis=-1))
    local[:, 0] = rotations.multiply(rotations.about_y(4 * np.pi * time[:, 0, 0]), local[:, 0])
    return Fitted(still.offsets, local, still.root + time[:, 0])


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a - b, axis=-1)


def degrees(turns: np.ndarray) -> np.ndarray:
    return np.degrees(2 * np.arccos(np.clip(np.abs(turns[..., 0]), 0, 1)))


@SKELETONS
def test_parents_come_before_their_children(skeleton):
    assert all(parent < joint for joint, parent in enumerate(skeleton.parents))


@SKELETONS
def test_the_rest_pose_is_a_t_pose_that_faces_ahead(skeleton):
    joints = forward_kinematics(body(skeleton), skeleton)[0]
    for left, right in skeleton.sides:
        np.testing.assert_allclose(joints[left] - joints[0], (joints[right] - joints[0]) * [-1, 1, 1], atol=1e-9)
    for shoulder in skeleton.shoulders:
        elbow = children_of(shoulder, skeleton)[0]
        arm = joints[children_of(elbow, skeleton)[0]] - joints[shoulder]
        assert abs(arm[0]) > 0.99 * np.linalg.norm(arm)
    for ankle, toe in skeleton.feet:
        assert joints[ankle, 1] < -0.7 + joints[0, 1]
        assert joints[toe, 2] > joints[ankle, 2] + 0.05


@SKELETONS
def test_a_body_in_t_pose_does_not_turn(skeleton):
    still = body(skeleton, frames=3)
    ours = fit(forward_kinematics(still, skeleton), skeleton)
    np.testing.assert_allclose(ours.offsets, still.offsets, atol=1e-9)
    np.testing.assert_allclose(ours.rotations, still.rotations, atol=1e-9)
    np.testing.assert_array_equal(ours.root, still.root)


@SKELETONS
def test_joints_of_a_rigid_body_come_back(skeleton):
    joints = forward_kinematics(moving(skeleton), skeleton)
    np.testing.assert_allclose(forward_kinematics(fit(joints, skeleton), skeleton), joints, atol=1e-6)


@SKELETONS
@pytest.mark.parametrize("frames", [1, 2])
def test_a_few_frames_are_enough(skeleton, frames):
    joints = dance(skeleton, frames)
    ours = fit(joints, skeleton)
    assert ours.rotations.shape == (frames, len(skeleton.joints), 4)
    assert distances(forward_kinematics(ours, skeleton), joints).mean() < 0.02


def test_bones_have_their_median_lengths():
    joints = forward_kinematics(moving(), HUMANML3D)
    joints[0, 20] += 1
    wrist = fit(joints).offsets[20]
    np.testing.assert_allclose(np.linalg.norm(wrist), np.linalg.norm(body().offsets[20]), atol=1e-9)


def test_errors_do_not_add_up_outwards():
    joints = forward_kinematics(moving())
    joints[::3, [1, 4, 7, 10]] += [0.02, 0, 0]
    away = distances(forward_kinematics(fit(joints)), joints)[::3].mean(axis=0)
    assert away[1] > 0.01
    assert away[10] < away[1] / 2


@pytest.mark.parametrize("missing", [1, 3, 12, 15, 18], ids=lambda joint: HUMANML3D.joints[joint])
def test_a_bone_without_length_is_no_trouble(missing):
    still = moving()
    still.offsets[missing] = 0
    joints = forward_kinematics(still)
    ours = fit(joints)
    assert np.isfinite(ours.rotations).all()
    np.testing.assert_allclose(ours.offsets[missing], 0, atol=1e-12)
    np.testing.assert_allclose(forward_kinematics(ours), joints, atol=1e-5)


def test_a_body_that_is_one_point_stays_one():
    joints = np.ones((4, 22, 3))
    ours = fit(joints)
    np.testing.assert_allclose(forward_kinematics(ours), joints, atol=1e-12)
    np.testing.assert_allclose(ours.rotations[..., 0], 1)


@SKELETONS
def test_signs_follow_each_other_in_time(skeleton):
    ours = fit(forward_kinematics(moving(skeleton), skeleton), skeleton).rotations
    assert (np.sum(ours[1:] * ours[:-1], axis=-1) > 0).all()
    assert (ours[0, :, 0] >= 0).all()
    assert ours[..., 0].min() < -0.9, "the body turns round twice, so its sign must have gone over"


def test_a_leg_that_is_turned_out_bends_at_its_knee_alone():
    turned = body(frames=5, left_hip=about((0, 1, 0), 60), left_knee=about((1, 0, 0), 70))
    ours = fit(forward_kinematics(turned)).rotations[2]
    hip, knee = ours[1], ours[4]
    assert 50 < degrees(hip) < 62
    assert abs(knee[1]) > 0.95 * np.linalg.norm(knee[1:])


def test_an_arm_that_is_turned_bends_at_its_elbow_alone():
    turned = body(frames=5, left_shoulder=about((1, 0, 0), -50), left_elbow=about((0, -1, 0), 70))
    ours = fit(forward_kinematics(turned)).rotations[2]
    assert 40 < degrees(ours[16]) < 52
    assert abs(ours[18, 2]) > 0.95 * np.linalg.norm(ours[18, 1:])


@pytest.mark.parametrize(("skeleton", "chest"), [(HUMANML3D, "spine3"), (KIT, "neck")], ids=["humanml3d", "kit"])
def test_the_lower_spine_takes_its_share_when_the_shoulders_turn(skeleton, chest):
    half = about((0, 1, 0), 22.5)
    turned = body(skeleton, frames=5, spine1=half, **{chest: half})
    ours = fit(forward_kinematics(turned, skeleton), skeleton).rotations[2]
    for name in ("spine1", chest):
        np.testing.assert_allclose(degrees(ours[skeleton.joints.index(name)]), 22.5, atol=4)


def test_an_arm_that_goes_almost_straight_does_not_flip():
    bend = np.concatenate([np.linspace(60, 3, 12), np.linspace(3, 60, 12)])
    elbow = np.stack([about((0, -1, 0), angle) for angle in bend])
    shoulder = about((1, 0, 0), -100)
    ours = fit(forward_kinematics(body(frames=len(bend), left_shoulder=shoulder, left_elbow=elbow))).rotations[:, 16]
    assert degrees(rotations.multiply(rotations.inverse(ours[:-1]), ours[1:])).max() < 30


@pytest.mark.parametrize(("part", "every"), [("cmu", 20), ("hdm05", 20), ("bandai", 200)])
def test_real_motions_come_back_and_their_joints_turn_with_their_bones(part, every):
    errors, hurried = [], []
    for joints in real_motions(part, every):
        ours = fit(joints)
        errors.append(distances(forward_kinematics(ours), joints).mean())
        hurried.append(hurry(ours, joints))
    assert np.mean(errors) < 0.005
    assert max(errors) < 0.02
    assert max(hurried) < 60


def hurry(ours: Fitted, joints: np.ndarray) -> float:
    """By how many degrees in a frame a joint turned further than its one bone did, seen from its parent, at most."""
    world, most = ours.rotations.copy(), 0.0
    for joint, parent in enumerate(HUMANML3D.parents):
        if parent >= 0:
            world[:, joint] = rotations.multiply(world[:, parent], ours.rotations[:, joint])
            children = children_of(joint, HUMANML3D)
            if len(children) == 1:
                bone = rotations.rotate(rotations.inverse(world[:, parent]), joints[:, children[0]] - joints[:, joint])
                swing = degrees(rotations.between(bone[:-1], bone[1:]))
                turn = degrees(
                    rotations.multiply(rotations.inverse(ours.rotations[:-1, joint]), ours.rotations[1:, joint])
                )
                most = max(most, float((turn - swing).max(initial=0)))
    return most


@SKELETONS
def test_joints_of_any_body_come_back_from_turns_and_places(skeleton):
    joints = dance(skeleton) * np.linspace(1, 1.5, 9)[:, None, None]
    ours = fit(joints, skeleton, movable=True)
    local, back = local_translations(ours, joints, skeleton), np.empty_like(joints)
    world = ours.rotations.copy()
    for joint, parent in enumerate(skeleton.parents):
        back[:, joint] = local[:, joint]
        if parent >= 0:
            back[:, joint] = back[:, parent] + rotations.rotate(world[:, parent], local[:, joint])
            world[:, joint] = rotations.multiply(world[:, parent], ours.rotations[:, joint])
    np.testing.assert_allclose(back, joints, atol=1e-9)


def test_places_of_a_rigid_body_are_its_bones():
    joints = forward_kinematics(moving())
    ours = fit(joints, movable=True)
    np.testing.assert_allclose(
        local_translations(ours, joints)[:, 1:], np.tile(ours.offsets[1:], (30, 1, 1)), atol=1e-6
    )


def test_bones_of_a_rigid_body_do_not_change_and_those_of_two_bodies_do():
    joints = forward_kinematics(moving())
    assert not bones_change(joints)
    joints[20:] *= 1.1
    assert bones_change(joints)


def test_a_skeleton_without_rest_pose_is_named():
    with pytest.raises(ValueError, match="'spider' has no rest pose; known are humanml3d, kit"):
        fit(np.zeros((2, 22, 3)), replace(HUMANML3D, name="spider"))
