import numpy as np
import pytest

from motiongpt3_jax.data_pipelines.procedural import generate
from motiongpt3_jax.motion import HUMANML3D, KIT, Motion, canonicalise, load_motion, write_bvh
from motiongpt3_jax.motion.convert_skeleton import convert_skeleton, joint_weights
from motiongpt3_jax.motion.oddities import oddities
from tests.motion.real import real_motions


@pytest.fixture(scope="module")
def motion():
    return Motion(generate(3).joints[None].astype(np.float32))


def test_joints_of_one_name_stay_where_they_are(motion):
    converted = convert_skeleton(motion, KIT)
    assert (converted.skeleton, converted.fps) == (KIT, motion.fps)
    for name in ("pelvis", "left_hip", "right_knee", "left_ankle", "right_foot", "neck", "right_wrist"):
        ours, theirs = HUMANML3D.joints.index(name), KIT.joints.index(name)
        np.testing.assert_allclose(converted.joints[:, :, theirs], motion.joints[:, :, ours], atol=1e-6)


def test_there_and_back_moves_no_joint_by_more_than_a_hand(motion):
    back = convert_skeleton(convert_skeleton(motion, KIT), HUMANML3D)
    assert np.linalg.norm(back.joints - motion.joints, axis=-1).max() < 0.1


@pytest.mark.parametrize("pair", [(HUMANML3D, KIT), (KIT, HUMANML3D)], ids=lambda pair: f"{pair[0].name}")
def test_weights_move_with_the_body(pair):
    np.testing.assert_allclose(joint_weights(pair[0].name, pair[1].name).sum(axis=1), 1, atol=1e-6)


def test_a_motion_of_the_same_skeleton_is_handed_back(motion):
    assert convert_skeleton(motion, HUMANML3D) is motion


def test_a_converted_body_is_that_of_a_person_with_its_own_left_and_right(motion):
    assert oddities(convert_skeleton(motion, KIT)) == ()
    facing_ahead = canonicalise(convert_skeleton(motion, KIT).joints[0].astype(np.float64), KIT)
    left, right = (facing_ahead[0, KIT.joints.index(f"{side}_hip"), 0] for side in ("left", "right"))
    assert left > 0 > right


def test_real_people_stay_people(tmp_path):
    for joints in real_motions("cmu", every=400):
        converted = convert_skeleton(Motion(joints[None].astype(np.float32)), KIT)
        assert not [note for note in oddities(converted) if "mirror" in note or "legs" in note]


def test_a_bvh_of_kits_joints_reads_as_the_same_person(motion, tmp_path):
    converted = convert_skeleton(motion, KIT)
    write_bvh(tmp_path / "kit.bvh", converted)
    read = load_motion(tmp_path / "kit.bvh", mapping={"unit": 0.01})
    for name in ("pelvis", "left_ankle", "right_ankle", "left_wrist", "right_wrist"):
        index = HUMANML3D.joints.index(name)
        assert np.linalg.norm(read.joints[0, :, index] - motion.joints[0, :, index], axis=-1).max() < 0.03, name
