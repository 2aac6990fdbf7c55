import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D, Motion, write_bvh
from motiongpt3_jax.motion.bvh_read import read_bvh
from motiongpt3_jax.motion.joint_mapping import AXES
from tests.motion.bvh_files import ordered, standing, still, tree_of, write


def test_our_own_names_and_metres_come_back(tmp_path):
    joints = tree_of()
    motion, notes = read_bvh(write(tmp_path / "a.bvh", joints, [still(joints)] * 3))
    assert (motion.persons, motion.frames, motion.fps, motion.skeleton) == (1, 3, 20.0, HUMANML3D)
    np.testing.assert_allclose(motion.joints[0, 2], standing(), atol=1e-5)
    assert notes == ("lengths are read as metres: legs of 0.82 m, arms of 0.51 m",)


def test_rotations_turn_in_the_order_of_their_channels_and_carry_what_follows(tmp_path):
    joints = tree_of()
    row = still(joints)
    elbow = 3 + 3 * [name for name, _, _ in ordered(joints)].index("left_shoulder")
    row[elbow : elbow + 3] = (90, 0, 90)  # about z, x, y: R = Rz Rx Ry
    motion, _ = read_bvh(write(tmp_path / "a.bvh", joints, [row]))
    shoulder = standing()[16]
    # Ry takes the upper arm from +x to -z, which Rz leaves; the other order would take it to +y.
    np.testing.assert_allclose(motion.joints[0, 0, 18], shoulder - [0, 0, 0.26], atol=1e-5)
    np.testing.assert_allclose(motion.joints[0, 0, 20], shoulder - [0, 0, 0.51], atol=1e-5)
    row[elbow : elbow + 3] = (90, 0, 90)  # the same numbers about y, x, z: R = Ry Rx Rz
    motion, _ = read_bvh(write(tmp_path / "b.bvh", joints, [row], order="YXZ"))
    np.testing.assert_allclose(motion.joints[0, 0, 18], shoulder - [0, -0.26, 0], atol=1e-5)


def test_turns_of_two_joints_add_up_along_the_chain(tmp_path):
    joints = tree_of()
    row = still(joints)
    names = [name for name, _, _ in ordered(joints)]
    for name, angle in (("pelvis", 90), ("left_hip", 90)):  # about y, then about x
        row[3 + 3 * names.index(name) + (2 if name == "pelvis" else 1)] = angle
    motion, _ = read_bvh(write(tmp_path / "a.bvh", joints, [row]))
    hip = np.array([0, 0.93 - 0.05, -0.1])  # x to -z
    np.testing.assert_allclose(motion.joints[0, 0, 1], hip, atol=1e-5)
    np.testing.assert_allclose(motion.joints[0, 0, 4], hip - [0.4, 0, 0], atol=1e-5)  # -y to -z, then -z to -x


@pytest.mark.parametrize(
    ("unit", "name"),
    [(1, "metres"), (0.01, "centimetres"), (0.001, "millimetres"), (0.0254, "inches"), (0.3048, "feet")],
)
def test_the_unit_shows_in_the_legs(tmp_path, unit, name):
    joints = tree_of()
    motion, notes = read_bvh(write(tmp_path / "a.bvh", joints, [still(joints, unit=unit)], unit=unit))
    np.testing.assert_allclose(motion.joints[0, 0], standing(), atol=1e-4)
    assert f"lengths are read as {name}" in notes[0]


def test_a_body_of_no_usual_unit_gets_the_legs_of_a_grown_up_unless_the_unit_is_said(tmp_path):
    joints = tree_of()
    path = write(tmp_path / "a.bvh", joints, [still(joints, unit=150)], unit=150)
    motion, notes = read_bvh(path)
    np.testing.assert_allclose(motion.joints[0, 0], standing(), atol=1e-2)
    assert "fit no usual unit" in notes[0]
    motion, notes = read_bvh(path, {"unit": 300})
    np.testing.assert_allclose(motion.joints[0, 0], 2 * standing(), atol=1e-2)
    assert not any("unit" in note and "read as" in note for note in notes)


def z_up(offset):
    x, y, z = offset
    return (x, -z, y)


def test_bodies_that_stand_along_z_are_turned_to_stand_along_y(tmp_path):
    joints = [(name, parent, z_up(offset)) for name, parent, offset in tree_of()]
    path = write(tmp_path / "a.bvh", joints, [still(joints, z_up((0.3, 0.93, 0.5)))])
    motion, notes = read_bvh(path)
    np.testing.assert_allclose(motion.joints[0, 0], standing((0.3, 0.93, 0.5)), atol=1e-5)
    assert "z is taken for the vertical axis, from the bodies' own" in notes
    lying, notes = read_bvh(path, {"up": "y"})
    assert lying.joints[0, 0, 15, 1] < 0.1
    hanging, _ = read_bvh(path, {"up": "-z"})
    np.testing.assert_allclose(hanging.joints[..., 1], -motion.joints[..., 1], atol=1e-6)
    volume = np.linalg.det(standing()[[1, 10, 15]] - standing()[0])
    for axis in AXES:
        pose = read_bvh(path, {"up": axis})[0].joints[0, 0]
        np.testing.assert_allclose(np.linalg.det(pose[[1, 10, 15]] - pose[0]), volume, rtol=1e-5)  # no mirror image


def test_a_body_whose_root_is_turned_up_to_z_and_stays_at_0_stands(tmp_path):
    joints = tree_of()
    row = still(joints, (0.0, 0.0, 0.0))
    row[3:6] = (0, 90, 0)  # about z, x and y
    motion, notes = read_bvh(write(tmp_path / "a.bvh", joints, [row] * 3))
    assert motion.joints[0, 0, 15, 1] > 0.5
    assert "z is taken for the vertical axis, from the bodies' own" in notes


@pytest.mark.parametrize("ahead", [1, -1])
def test_a_body_that_lies_is_read_back_lying(tmp_path, ahead):
    lying = np.array([z_up(joint) for joint in standing()]) * [1, ahead, ahead]
    lying += [0.5, 0.02 - lying[:, 1].min(), 1.5]
    write_bvh(tmp_path / "a.bvh", Motion(np.repeat(lying[None, None], 9, axis=1), 20.0))
    motion, notes = read_bvh(tmp_path / "a.bvh")
    np.testing.assert_allclose(motion.joints[0, 4], lying, atol=0.02)
    assert any("lies or hangs" in note for note in notes)


@pytest.mark.parametrize(
    ("time", "fps"),
    [("0.05", 20), ("0.0333333", 30), ("0.033", 30), (".0083333", 120), ("0.0166", 60), ("0.033367", 1 / 0.033367)],
)
def test_a_frame_time_cut_off_at_its_last_digit_is_a_whole_rate(tmp_path, time, fps):
    joints = tree_of()
    assert read_bvh(write(tmp_path / "a.bvh", joints, [still(joints)], time=time))[0].fps == fps


def test_place_channels_stand_for_the_offset(tmp_path):
    joints = tree_of()
    row = still(joints)
    at = 3 + 3 * ([name for name, _, _ in ordered(joints)].index("left_elbow"))
    row[at:at] = (0.3, 0.1, 0)
    motion, _ = read_bvh(write(tmp_path / "a.bvh", joints, [row], places=("left_elbow",)))
    np.testing.assert_allclose(motion.joints[0, 0, 18], standing()[16] + (0.3, 0.1, 0), atol=1e-5)


def test_place_channels_that_hold_next_to_nothing_count_from_the_offset(tmp_path):
    joints = tree_of()
    row = still(joints)
    at = 3 + 3 * ([name for name, _, _ in ordered(joints)].index("left_elbow"))
    row[at:at] = (0.01, 0, 0)
    motion, _ = read_bvh(write(tmp_path / "a.bvh", joints, [row], places=("left_elbow",)))
    np.testing.assert_allclose(motion.joints[0, 0, 18], standing()[16] + (0.27, 0, 0), atol=1e-5)


def test_tabs_line_ends_case_and_braces_may_be_anyones(tmp_path):
    joints = tree_of()
    path = write(tmp_path / "a.bvh", joints, [still(joints)] * 2, tabs=True)
    text = (
        path.read_text().replace("\t{", " {").replace("Yposition", "YPosition").replace("Frame Time:", "Frame time:\t")
    )
    text = "\ufeff" + text.replace("pelvis\n{", "pelvis {").replace("\n", "\r\n")
    path.write_bytes(text.encode())
    np.testing.assert_allclose(read_bvh(path)[0].joints[0, 1], standing(), atol=1e-5)


def two_bodies():
    return [*tree_of(lambda j: f"A:{j}"), *((f"B:{n}", p + 22 if p >= 0 else -1, o) for n, p, o in tree_of())]


def test_every_root_is_a_person_and_what_is_no_body_is_left_out(tmp_path):
    joints = [*two_bodies(), ("ball", -1, (0, 0, 0))]
    row = [*still(tree_of()), *still(tree_of(), (1, 0.93, 2)), *[0.0] * 6]
    motion, notes = read_bvh(write(tmp_path / "a.bvh", joints, [row]))
    np.testing.assert_allclose(motion.joints[:, 0], [standing(), standing((1, 0.93, 2))], atol=1e-5)
    assert "'ball' is no body and is left out" in notes


DAMAGED = [
    (lambda text: text[:300], r"a.bvh' ends before its MOTION part|was not understood"),
    (lambda text: text.replace("HIERARCHY", ""), "has no line HIERARCHY"),
    (lambda text: text.replace("OFFSET 0.100000", "OFFSET zero", 1), r"line \d+: 'OFFSET zero .* was not understood"),
    (lambda text: text.replace("CHANNELS 6", "CHANNELS 5"), r"line 5: 5 channels are promised and 6 named"),
    (lambda text: text.replace("}\nMOTION", "MOTION"), "a brace is not closed before MOTION"),
    (lambda text: text.replace("Frame Time: 0.05", ""), "expected 'Frames: N' and 'Frame Time: SECONDS'"),
    (lambda text: text.replace("0.05\n", "0\n"), "frame time '0'; expected the seconds"),
    (lambda text: text.rsplit(" ", 1)[0], r"promises 2 frames of 69 numbers and holds 137 numbers, .* cut off"),
    (lambda text: text.partition("0.05\n")[0] + "0.05\n", "holds 0 numbers"),
    (lambda text: text.replace("0.930000 ", "0,93 "), r"line \d+: '0,93' has numbers with a comma"),
    (lambda text: text.replace("0.930000 ", "nan "), "not finite or too large, the first in frame 0"),
    (lambda text: text.replace("ROOT", "JOINT"), "a ROOT stands inside another, or a JOINT outside"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGED)
def test_damaged_files_are_refused_with_the_place(tmp_path, damage, message):
    path = write(tmp_path / "a.bvh", tree_of(), [still(tree_of())] * 2)
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=message):
        read_bvh(path)


def test_whole_frames_beyond_or_below_the_promise_are_taken_and_said(tmp_path):
    path = write(tmp_path / "a.bvh", tree_of(), [still(tree_of())] * 2, frames=3)
    motion, notes = read_bvh(path)
    assert motion.frames == 2
    assert "3 frames are promised and 2 are there" in notes


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"walk.bvh' does not exist"):
        read_bvh(tmp_path / "walk.bvh")
