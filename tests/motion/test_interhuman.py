import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D, KIT, Motion, load_motion, read_motion, rotations
from motiongpt3_jax.motion.ground_pose import ground_poses
from motiongpt3_jax.motion.interhuman import (
    Body,
    body_of,
    canonical_features,
    features_to_world,
    pair_features,
    place_of,
    read_rows,
    relative_of,
    write_interhuman,
    write_rows,
)
from motiongpt3_jax.motion.resample import resample_joints
from tests.motion.samples import dance


def two(frames: int = 12) -> list[Body]:
    return [body_of(joints) for joints in dance(people=(2,), frames=frames)]


def test_files_have_z_up_and_hold_everything():
    body = two()[0]
    rows = write_rows(body)
    np.testing.assert_allclose(rows[:, 2], body.joints[:, 0, 1])
    again = read_rows(rows)
    np.testing.assert_allclose(again.joints, body.joints)
    np.testing.assert_allclose(again.rotations, body.rotations)
    with pytest.raises(ValueError, match=r"shape \(12, 191\); expected \(frames, 492\)"):
        read_rows(rows[:, :-1])


def test_both_people_are_in_the_frame_of_the_first_and_back_in_the_world():
    first, second = two()
    features, _ = pair_features(first, second)
    world = features_to_world(features, canonical_features(first))
    for ours, body in zip(world, (first, second)):
        floor = [0, body.joints[..., 1].min(), 0]
        np.testing.assert_allclose(ours, body.joints[:-1] - floor, atol=1e-9)


def test_the_second_person_faces_minus_two_times_the_angle():
    first, second = two()
    features, relative = pair_features(first, second)
    hips = features[1, 0, 6:9] - features[1, 0, 3:6]  # right from left
    forward = rotations.cross(np.array([0.0, 1, 0]), hips)
    yaw = place_of(relative)[0]
    np.testing.assert_allclose(np.exp(1j * np.arctan2(forward[0], forward[2])), np.exp(1j * yaw), atol=1e-9)
    np.testing.assert_allclose(place_of(relative_of(place_of(relative))), place_of(relative), atol=1e-12)


def test_a_body_that_faces_away_has_a_heading():
    joints = dance()
    back = rotations.rotate(canonical_features(body_of(joints)).heading, joints) * [-1, 1, -1]
    assert np.isfinite(canonical_features(Body(back, np.zeros((len(back), 21, 6)))).features).all()


def test_mirrored_rotations_are_those_of_the_mirrored_body():
    body = two()[0]
    np.testing.assert_allclose(body.mirrored().mirrored().rotations, body.rotations)
    turns = body.rotations.reshape(-1, 21, 3, 2)
    mirrored = body.mirrored().rotations.reshape(-1, 21, 3, 2)
    flip = np.diag([-1.0, 1, 1])
    left, right = HUMANML3D.sides[0]
    np.testing.assert_allclose(mirrored[:, left - 1], flip @ turns[:, right - 1] @ flip[:2, :2])


def test_motions_are_written_for_evaluators_and_read_again(tmp_path):
    joints = dance(people=(2,), frames=20)
    paths = write_interhuman(tmp_path / "walk.interhuman.npy", Motion(joints))
    assert [path.name for path in paths] == ["walk_1.interhuman.npy", "walk_2.interhuman.npy"]
    assert {np.load(path).shape[1] for path in paths} == {262}
    motions = [load_motion(path) for path in paths]
    assert {motion.fps for motion in motions} == {30.0}
    ours = resample_joints(joints, 20, 30)[:, : motions[0].frames]
    shown = np.stack([motion.joints[0] for motion in motions])
    gaps = [np.linalg.norm(each[0, :, 0, ::2] - each[1, :, 0, ::2], axis=-1) for each in (ours, shown)]
    np.testing.assert_allclose(*gaps, atol=1e-4)
    assert abs(ground_poses(motions[0].joints[0]).place[0]).max() < 1e-6
    with pytest.raises(ValueError, match="InterHuman has SMPL's joints"):
        write_interhuman(tmp_path / "kit.interhuman.npy", Motion(dance(KIT, people=(1,)), 12.5, KIT))


def test_files_of_the_data_set_are_read_as_one_person(tmp_path):
    rows = write_rows(two()[0]).astype(np.float32)
    whole = np.zeros((len(rows), 492), np.float32)
    whole[:, :66], whole[:, 186:312] = rows[:, :66], rows[:, 66:]
    np.save(tmp_path / "1.npy", whole)
    motion, notes = read_motion(tmp_path / "1.npy")
    assert (motion.fps, motion.persons) == (30.0, 1)
    assert "read as one person of InterHuman" in notes[0]
    np.testing.assert_allclose(motion.joints[0], two()[0].joints, atol=1e-6)
