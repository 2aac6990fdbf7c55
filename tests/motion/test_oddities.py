import json
import re

import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D, KIT, Motion, read_motion, save_motion
from motiongpt3_jax.motion.fitting import Fitted, forward_kinematics
from motiongpt3_jax.motion.joint_mapping import AXES
from motiongpt3_jax.motion.oddities import jumps, oddities
from motiongpt3_jax.motion.rest import rest_of
from motiongpt3_jax.motion.units import UNITS
from tests.motion.bvh_files import standing, still, tree_of, write
from tests.motion.real import real_motions

BODY = np.repeat(standing()[None, None], 9, axis=1)


def fallen(up: str) -> np.ndarray:
    """The body as a file has it in which `up` is the vertical axis."""
    turned = np.empty_like(BODY)
    for ours, (axis, sign) in enumerate(AXES[up]):
        turned[..., axis] = sign * BODY[..., ours]
    return turned


def at_rest(skeleton) -> np.ndarray:
    """A body of average size in T-pose."""
    bones = np.array(rest_of(skeleton).bones) / 100
    turns = np.tile([1.0, 0, 0, 0], (3, len(bones), 1))
    return forward_kinematics(Fitted(bones, turns, np.zeros((3, 3))), skeleton)[None]


def option(note: str) -> dict:
    return json.loads(note.partition("--mapping '")[2].removesuffix("'"))


def test_a_body_that_stands_is_not_odd():
    assert oddities(Motion(BODY)) == ()


OTHER_UNITS = [name for name in UNITS if name != "metres"]


@pytest.mark.parametrize("name", OTHER_UNITS)
@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda skeleton: skeleton.name)
def test_joints_in_another_unit_are_said_with_the_likeliest_one(tmp_path, name, skeleton):
    joints = at_rest(skeleton)
    save_motion(tmp_path / "a.npz", Motion(joints / UNITS[name], skeleton.fps, skeleton))
    (note,) = read_motion(tmp_path / "a.npz")[1]
    assert f"joints are taken as metres: if they should be {name}, give --mapping" in note
    motion, notes = read_motion(tmp_path / "a.npz", mapping=option(note))
    assert notes == ()
    np.testing.assert_allclose(motion.joints, joints, atol=1e-4)


@pytest.mark.parametrize(("size", "metres"), [(0.01, 100), (0.1, 10), (1e5, 1e-5)])
def test_a_body_of_no_usual_unit_is_said_with_the_one_of_a_grown_up(size, metres):
    (note,) = oddities(Motion(size * at_rest(HUMANML3D)))
    assert "for a body of a grown-up's size, give --mapping" in note
    np.testing.assert_allclose(option(note)["unit"], metres, rtol=0.01)


def test_the_option_of_a_note_keeps_what_was_said_and_what_stands_before_it(tmp_path):
    save_motion(tmp_path / "a.npz", Motion(100 * fallen("z") * [-1, 1, 1]))
    first, second, third = read_motion(tmp_path / "a.npz")[1]
    assert option(first) == {"unit": 0.01}
    assert option(second) == {"unit": 0.01, "up": "z"}
    assert option(third) == {"unit": 0.01, "up": "z", "mirrored": True}
    assert read_motion(tmp_path / "a.npz", mapping=option(third))[1] == ()
    wrong, _, mirrored = read_motion(tmp_path / "a.npz", mapping={"unit": 0.1})[1]
    assert "legs of 9.54 m; a unit is taken as 0.1 m: if they should be centimetres" in wrong
    assert option(mirrored) == option(third)
    (undone,) = read_motion(tmp_path / "a.npz", mapping={**option(second), "mirrored": False})[1]
    assert option(undone) == option(third)


@pytest.mark.parametrize("up", [axis for axis in AXES if axis != "y"])
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_a_body_along_another_axis_is_said_with_the_option_that_turns_it(tmp_path, up, kind):
    path = tmp_path / f"a.{kind}"
    save_motion(path, Motion(fallen(up)))
    (note,) = read_motion(path)[1]
    assert ("upside down" in note) == (up == "-y")
    motion, notes = read_motion(path, mapping=option(note))
    assert notes == ()
    np.testing.assert_allclose(motion.joints, BODY, atol=1e-6)


@pytest.mark.parametrize("up", ["x", "-x", "-y", "-z"])
def test_a_bvh_along_another_axis_is_said_likewise(tmp_path, up):
    def turned(offset):
        place = [0.0] * 3
        for ours, (axis, sign) in enumerate(AXES[up]):
            place[axis] = sign * offset[ours]
        return tuple(place)

    joints = [(name, parent, turned(offset)) for name, parent, offset in tree_of()]
    path = write(tmp_path / "a.bvh", joints, [still(joints, turned((0, 0.93, 0)))] * 2)
    _, (_, note) = read_motion(path)
    assert ("upside down" in note) == (up == "-y")
    motion, notes = read_motion(path, mapping=option(note))
    assert len(notes) == 1
    np.testing.assert_allclose(motion.joints[0, 0], standing(), atol=1e-5)


@pytest.mark.parametrize("flip", [(-1, 1, 1), (1, -1, 1), (1, 1, -1)], ids=["x", "y", "z"])
def test_a_mirror_image_is_said_with_the_option_that_undoes_it(tmp_path, flip):
    save_motion(tmp_path / "a.npy", Motion(BODY * flip))
    *_, note = read_motion(tmp_path / "a.npy")[1]
    assert "mirror image" in note
    motion, notes = read_motion(tmp_path / "a.npy", mapping=option(note))
    assert notes == ()
    across, toes = motion.joints[0, 0, 1] - motion.joints[0, 0, 2], motion.joints[0, 0, 10] - motion.joints[0, 0, 7]
    assert np.cross(across, [0, 1, 0]) @ toes > 0


def test_left_and_right_exchanged_in_a_bvh_are_said(tmp_path):
    exchanged = dict(zip(HUMANML3D.joints, np.array(HUMANML3D.joints)[HUMANML3D.mirrored].tolist()))
    joints = tree_of(exchanged.__getitem__)
    notes = read_motion(write(tmp_path / "a.bvh", joints, [still(joints)] * 2))[1]
    assert any("left and right are exchanged" in note for note in notes)


def test_joints_of_another_skeleton_have_legs_and_sides_too():
    joints = at_rest(KIT)
    assert oddities(Motion(joints, 12.5, KIT)) == ()
    assert "mirror image" in oddities(Motion(joints * [-1, 1, 1], 12.5, KIT))[0]


def walking(frames: int = 40) -> np.ndarray:
    """Somebody who goes ahead at 1.5 m/s, 20 frames a second."""
    return standing() + np.arange(frames)[:, None, None] * np.array([0, 0, 0.075])


def test_a_walk_does_not_jump():
    assert jumps(walking(), 20) == ()


@pytest.mark.parametrize(
    ("where", "option"),
    [
        (slice(0, 1), "--start 1"),
        (slice(0, 4), "--start 4"),
        (slice(38, 40), "--stop 38"),
        (slice(10, 11), "--start 11"),
        (slice(15, 18), "--start 18"),
        (slice(30, 31), "--stop 30"),
        ([0, 1, 38, 39], "--start 2 --stop 38"),
        ([0, 20, 30], "--start 1 --stop 20"),
    ],
)
def test_frames_that_lie_far_away_are_named_with_the_option_that_leaves_them_out(where, option):
    joints = walking()
    joints[where] += [36.0, 0, 0]
    (note,) = jumps(joints, 20)
    assert "the body moves 36 m, 720 m/s" in note
    assert note.endswith(option)


def test_a_rest_pose_before_the_motion_is_named_with_the_option_that_leaves_it_out():
    joints = walking()
    joints[1:, [18, 20]] += [-0.3, -0.4, 0.0]
    (note,) = jumps(joints, 20, first=7)
    assert note.startswith(
        "frame 7 is unlike all others, as a rest pose is (10.1 m/s to the next, 1.5 m/s at most after"
    )
    assert note.endswith("leave it out with --start 8")
    assert jumps(joints[1:], 20) == ()
    joints[20:, [18, 20]] += [0.3, 0.4, 0.0]
    assert jumps(joints, 20) == ()


def test_jumps_in_the_middle_are_counted_and_the_largest_named():
    joints = walking()
    joints[20] += [0, 3.0, 0]
    joints[30] += [0, 4.0, 0]
    (note,) = jumps(joints, 20, first=100)
    assert "from frame 129 to 130 the body moves" in note or "from frame 130 to 131 the body moves" in note
    assert "one of 4 such steps" in note


def test_a_limb_that_jumps_is_seen_though_the_body_does_not():
    joints = walking()
    joints[10, 20] += [1.5, 0, 0]
    assert "the body moves 1.5 m, 30 m/s" in jumps(joints, 20)[0]


def test_of_a_body_in_another_unit_no_speeds_are_said():
    (note,) = oddities(Motion(100 * walking()[None]))
    assert "legs of" in note


def test_speeds_count_by_time_not_by_frames():
    joints = walking()
    joints[20:] += [0, 0, 1.0]
    assert jumps(joints, 10) == ()
    assert len(jumps(joints, 60)) == 1


def test_frames_without_a_body_are_named_and_no_speed_is_made_of_them():
    joints = walking()
    joints[[0, 1, 2, 39]] = 0
    assert jumps(joints, 20) == (
        "frames 0 to 2, 39 hold no body: all joints lie in one place; leave them out with --start and --stop",
    )


CHANGES = {
    "larger later": (np.repeat([1, 1.2], 20), ("0.95", "1.14")),
    "smaller later": (np.repeat([1, 0.7], [30, 10]), ("0.67", "0.95")),
    "another body in the middle": (np.repeat([1, 1.3, 1], [15, 5, 20]), ("0.95", "1.24")),
    "slowly growing": (np.linspace(1, 1.25, 40), ("0.96", "1.19")),
}


@pytest.mark.parametrize(("sizes", "lengths"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda skeleton: skeleton.name)
def test_a_body_that_changes_is_said_with_its_sizes(sizes, lengths, skeleton):
    still = walking()[:1] if skeleton is HUMANML3D else at_rest(KIT)[0, :1]
    joints = still * sizes[:, None, None]
    (note,) = oddities(Motion(joints[None], skeleton.fps, skeleton))
    low, high = lengths if skeleton is HUMANML3D else re.findall(r"(\d\.\d+) m", note)
    assert note == f"the body changes: its legs are {low} m long in some frames and {high} m in others"
    assert oddities(Motion(still[None].repeat(40, axis=1), skeleton.fps, skeleton)) == ()


def test_a_body_that_changes_is_said_of_its_person():
    joints = np.stack([walking(), walking()])
    joints[1, 25:] *= 1.2
    (note,) = oddities(Motion(joints))
    assert note == "person 2: the body changes: its legs are 0.95 m long in some frames and 1.14 m in others"


@pytest.mark.parametrize("part", ["cmu", "bandai"])
def test_people_are_not_odd(part):
    all_notes = [oddities(Motion(clip[None])) for clip in real_motions(part, 20)]
    assert not any(
        word in note for notes in all_notes for note in notes for word in ("legs", "mirror", "m/s", "no body")
    )
    assert sum(map(bool, all_notes)) <= 0.02 * len(all_notes)
