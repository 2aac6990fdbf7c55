import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motiongpt3_jax.motion import HUMANML3D, KIT, Motion, rotations
from motiongpt3_jax.motion.bvh_write import angles_zxy, write_bvh
from motiongpt3_jax.motion.fitting import fit, forward_kinematics
from tests.motion.real import real_motions
from tests.motion.samples import dance


def read(path) -> tuple[dict[str, np.ndarray], np.ndarray, float, dict[str, list[str]]]:
    """Where a reader that knows nothing of us finds joints and end sites (frames, 3), the rows, the seconds a frame
    takes, and the joints' channels."""
    head, body = path.read_text().split("MOTION\n")
    lines = body.splitlines()
    assert lines[0].startswith("Frames: ")
    rows = np.array([[float(number) for number in line.split()] for line in lines[2:]])
    assert len(rows) == int(lines[0].split()[1])
    places, channels, open_joints, column = {}, {}, [], 0
    words = iter(head.split())
    assert next(words) == "HIERARCHY"
    for word in words:
        if word in ("ROOT", "JOINT", "End"):
            name = next(words)
            open_joints.append([f"{open_joints[-1][0]} end" if word == "End" else name, None, None])
        elif word == "OFFSET":
            offset = np.array([float(next(words)) for _ in range(3)])
            _, at, turn = open_joints[-2] if len(open_joints) > 1 else (None, np.zeros((len(rows), 3)), None)
            open_joints[-1][1:] = [at + (turn.apply(offset) if turn else offset), turn]
        elif word == "CHANNELS":
            names = [next(words) for _ in range(int(next(words)))]
            here = dict(zip(names, rows[:, column : column + len(names)].T))
            column += len(names)
            if "Xposition" in here:
                open_joints[-1][1] += np.stack([here[f"{axis}position"] for axis in "XYZ"], axis=-1)
            for name in (name for name in names if "rotation" in name):
                step = Rotation.from_euler(name[0], here[name][:, None], degrees=True)
                open_joints[-1][2] = open_joints[-1][2] * step if open_joints[-1][2] else step
            channels[open_joints[-1][0]] = names
        elif word == "}":
            name, at, _ = open_joints.pop()
            places[name] = at
    assert (open_joints, column) == ([], rows.shape[1])
    return places, rows, float(lines[1].removeprefix("Frame Time:")), channels


def joints_of(path, skeleton=HUMANML3D) -> np.ndarray:
    places = read(path)[0]
    return np.stack([places[name] for name in skeleton.joints], axis=1) / 100


def turns(degrees: np.ndarray, axis: str) -> np.ndarray:
    return np.roll(Rotation.from_euler(axis, degrees[:, None], degrees=True).as_quat(), 1, axis=-1)[:, None]


@pytest.mark.parametrize(
    ("skeleton", "fps"), [(HUMANML3D, 20.0), (KIT, 12.5), (HUMANML3D, 30.0)], ids=["humanml3d", "kit", "fps"]
)
def test_another_reader_finds_the_fitted_joints_and_the_rate(tmp_path, skeleton, fps):
    motion = Motion(dance(skeleton, people=(1,)), fps, skeleton)
    assert write_bvh(tmp_path / "walk.bvh", motion) == [tmp_path / "walk.bvh"]
    wanted = forward_kinematics(fit(motion.joints[0], skeleton), skeleton)
    np.testing.assert_allclose(joints_of(tmp_path / "walk.bvh", skeleton), wanted, atol=1e-6)
    np.testing.assert_allclose(1 / read(tmp_path / "walk.bvh")[2], fps, rtol=1e-7)


def test_real_motions_stay_within_the_fit(tmp_path):
    for joints in real_motions("cmu", 70):
        write_bvh(tmp_path / "walk.bvh", Motion(joints[None].astype(np.float32)))
        assert np.linalg.norm(joints_of(tmp_path / "walk.bvh") - joints, axis=-1).mean() < 0.01


def test_each_person_has_a_file(tmp_path):
    motion = Motion(dance(people=(2,)))
    paths = write_bvh(tmp_path / "deep" / "walk.bvh", motion)
    assert [path.name for path in paths] == ["walk_1.bvh", "walk_2.bvh"]
    assert sorted((tmp_path / "deep").iterdir()) == paths
    for path, joints in zip(paths, motion.joints):
        np.testing.assert_allclose(joints_of(path)[:, 0], joints[:, 0], atol=1e-6)


def test_one_frame_is_a_motion(tmp_path):
    motion = Motion(dance(frames=1, people=(1,)))
    write_bvh(tmp_path / "walk.bvh", motion)
    np.testing.assert_allclose(joints_of(tmp_path / "walk.bvh"), motion.joints[0], atol=1e-6)


def test_the_root_moves_and_all_turn_about_z_x_y(tmp_path):
    write_bvh(tmp_path / "walk.bvh", Motion(dance(people=(1,))))
    channels = read(tmp_path / "walk.bvh")[3]
    turning = ["Zrotation", "Xrotation", "Yrotation"]
    assert channels.pop("pelvis") == ["Xposition", "Yposition", "Zposition", *turning]
    assert set(channels) == set(HUMANML3D.joints[1:])
    assert all(names == turning for names in channels.values())


def test_bones_end_beyond_the_outermost_joints(tmp_path):
    write_bvh(tmp_path / "walk.bvh", Motion(dance(people=(1,))))
    places = read(tmp_path / "walk.bvh")[0]
    ends = {name.removesuffix(" end") for name in places if name.endswith(" end")}
    assert ends == {"head", "left_wrist", "right_wrist", "left_foot", "right_foot"}
    assert all(np.linalg.norm(places[f"{name} end"][0] - places[name][0]) > 3 for name in ends)


def test_lengths_are_centimetres(tmp_path):
    joints = dance(people=(1,))
    write_bvh(tmp_path / "walk.bvh", Motion(joints))
    np.testing.assert_allclose(read(tmp_path / "walk.bvh")[1][:, :3], joints[0, :, 0] * 100, rtol=1e-6)


@pytest.mark.parametrize("axis", "xyz")
def test_a_joint_that_turns_twice_round_one_axis_has_one_steady_angle(axis):
    wanted = np.arange(0.0, 721, 15)
    angles = np.degrees(angles_zxy(turns(wanted, axis)))[:, 0]
    column = "zxy".index(axis)
    np.testing.assert_allclose(angles[:, column], wanted, atol=1e-6)
    np.testing.assert_allclose(np.delete(angles, column, axis=1), 0, atol=1e-6)


@pytest.mark.parametrize("right_angle", [90, -90, 270])
def test_angles_are_right_where_two_axes_fall_together(right_angle):
    zxy = np.array([[50, right_angle, y] for y in (-40, 0, 30, 90)], float)
    wanted = Rotation.from_euler("ZXY", zxy, degrees=True)
    angles = angles_zxy(np.roll(wanted.as_quat(), 1, axis=-1)[:, None])[:, 0]
    ours = Rotation.from_euler("ZXY", angles)
    assert (ours * wanted.inv()).magnitude().max() < 1e-6


def test_angles_never_jump_while_the_joint_turns_slowly():
    rng = np.random.default_rng(0)
    axes = np.cumsum(rng.normal(size=(400, 3, 3)) / 15, axis=0) + rng.normal(size=(3, 3))
    local = rotations.unit(np.concatenate([np.sin(np.arange(400) / 60)[:, None, None] * np.ones((1, 3, 1)), axes], -1))
    angles = angles_zxy(local)
    for joint in range(3):
        ours, theirs = Rotation.from_euler("ZXY", angles[:, joint]), np.roll(local[:, joint], -1, axis=-1)
        assert (ours * Rotation.from_quat(theirs).inv()).magnitude().max() < 1e-6
    # Turns about z and y swing fast only where x is near a right angle; half turns at once would be jumps.
    assert np.abs(np.diff(angles, axis=0)).max() < math.pi


def test_another_ending_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"name it 'walk.bvh'"):
        write_bvh(tmp_path / "walk.fbx", Motion(dance(people=(1,))))
    assert list(tmp_path.iterdir()) == []
