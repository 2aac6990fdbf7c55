import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motiongpt3_jax.motion import HUMANML3D, KIT, Motion, load_motion
from motiongpt3_jax.motion.amass import PELVIS, write_amass
from motiongpt3_jax.motion.fitting import fit, forward_kinematics
from tests.motion.real import real_motions
from tests.motion.samples import dance


def motion(**options) -> Motion:
    return Motion(dance(people=(options.pop("persons", 1),), **options))


def arrays(path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as content:
        return dict(content)


def placed(content: dict[str, np.ndarray], offsets: np.ndarray) -> np.ndarray:
    """Joints, z up, of a body model with these rest bones: each joint's matrix times what is beyond it."""
    poses = content["poses"].reshape(len(content["poses"]), -1, 3)
    joints, turns = [np.array(PELVIS) + content["trans"]], [Rotation.from_rotvec(poses[:, 0])]
    for joint, parent in list(enumerate(HUMANML3D.parents))[1:]:
        joints.append(joints[parent] + turns[parent].apply(offsets[joint]))
        turns.append(turns[parent] * Rotation.from_rotvec(poses[:, joint]))
    return np.stack(joints, axis=1)


def test_a_body_model_poses_the_fitted_joints_with_z_up(tmp_path):
    ours = motion()
    assert write_amass(tmp_path / "walk.amass.npz", ours) == [tmp_path / "walk.amass.npz"]
    content, fitted = arrays(tmp_path / "walk.amass.npz"), fit(ours.joints[0])
    x, y, z = np.moveaxis(forward_kinematics(fitted), -1, 0)
    np.testing.assert_allclose(placed(content, fitted.offsets), np.stack([x, -z, y], axis=-1), atol=1e-9)


def test_arrays_are_those_of_smplh(tmp_path):
    write_amass(tmp_path / "walk.amass.npz", Motion(dance(people=(1,)), 30.0))
    content = arrays(tmp_path / "walk.amass.npz")
    shapes = {name: array.shape for name, array in content.items()}
    assert shapes == {
        **{"poses": (9, 156), "trans": (9, 3), "betas": (16,), "mocap_framerate": (), "gender": ()},
        "offsets": (22, 3),
    }
    assert (content["mocap_framerate"], str(content["gender"])) == (30, "neutral")
    assert not content["betas"].any()
    assert not content["poses"][:, 66:].any()
    assert np.linalg.norm(content["poses"].reshape(9, -1, 3), axis=-1).max() <= np.pi + 1e-9


@pytest.mark.parametrize("frames", [1, 9])
def test_our_own_files_are_read_back(tmp_path, frames):
    ours = motion(frames=frames)
    write_amass(tmp_path / "walk.amass.npz", ours)
    theirs = load_motion(tmp_path / "walk.amass.npz")
    assert (theirs.fps, theirs.skeleton) == (20, HUMANML3D)
    np.testing.assert_allclose(theirs.joints[0], forward_kinematics(fit(ours.joints[0])), atol=1e-6)


def test_real_motions_are_read_back_within_the_fit(tmp_path):
    for joints in real_motions("cmu", 70):
        write_amass(tmp_path / "walk.amass.npz", Motion(joints[None]))
        theirs = load_motion(tmp_path / "walk.amass.npz").joints[0]
        assert np.linalg.norm(theirs - joints, axis=-1).mean() < 0.01


def test_each_person_has_a_file(tmp_path):
    ours = motion(persons=2)
    paths = write_amass(tmp_path / "walk.amass.npz", ours)
    assert [path.name for path in paths] == ["walk_1.amass.npz", "walk_2.amass.npz"]
    assert sorted(tmp_path.iterdir()) == paths
    for path, joints in zip(paths, ours.joints):
        np.testing.assert_allclose(load_motion(path).joints[0, :, 0], joints[:, 0], atol=1e-6)


def test_other_skeletons_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"SMPL's joints and this motion those of 'kit'; write it as .bvh or .glb"):
        write_amass(tmp_path / "walk.amass.npz", Motion(dance(KIT, people=(1,)), 12.5, KIT))
    with pytest.raises(ValueError, match=r"name it 'walk.amass.npz'"):
        write_amass(tmp_path / "walk.npz", motion())
    assert list(tmp_path.iterdir()) == []


def theirs(**changes) -> dict[str, np.ndarray]:
    return {"poses": np.zeros((3, 156)), "trans": np.zeros((3, 3)), "offsets": np.full((22, 3), 0.1), **changes}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"poses": np.zeros((3, 156)), "trans": np.zeros((3, 3)), "gender": "male"}, "pose SMPL-H .* first 22 joints"),
        (theirs(trans=np.zeros((2, 3))), r"trans \(2, 3\)"),
        (theirs(poses=np.zeros((3, 63))), r"poses of shape \(3, 63\).*expected \(frames, 156\)"),
        (theirs(offsets=np.zeros((24, 3))), r"offsets \(24, 3\)"),
        (theirs(poses=np.full((3, 156), np.nan)), "'poses' with values that are no finite numbers"),
        (theirs(trans=np.array([["a"] * 3] * 3)), "'trans' with values that are no finite numbers"),
        (theirs(mocap_framerate=np.zeros(2)), r"mocap_framerate of shape \(2,\); expected one number"),
        (theirs(mocap_framerate=np.array(0.0)), r"fps 0.0; expected a positive number"),
    ],
)
def test_files_that_cannot_be_read_say_why(tmp_path, content, message):
    np.savez(tmp_path / "walk.npz", **content)
    with pytest.raises(ValueError, match=message):
        load_motion(tmp_path / "walk.npz")


@pytest.mark.parametrize(("rate", "file_fps", "fps"), [({"mocap_frame_rate": np.array(60)}, 30, 60), ({}, 30, 30)])
def test_the_rate_is_the_files_own_where_it_says_one(tmp_path, rate, file_fps, fps):
    np.savez(tmp_path / "walk.npz", **theirs(**rate))
    assert load_motion(tmp_path / "walk.npz", file_fps=file_fps).fps == fps
