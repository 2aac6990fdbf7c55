"""Exported files are read back, and how far their joints are from the motion's is said."""

import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D, KIT, Motion, load_motion, write_amass, write_bvh, write_glb
from motiongpt3_jax.motion.bvh_parse import parse_bvh
from motiongpt3_jax.motion.export_error import export_notes
from motiongpt3_jax.motion.fitting import fit, forward_kinematics
from tests.motion.samples import dance

WRITERS = {"walk.bvh": write_bvh, "walk.glb": write_glb, "walk.amass.npz": write_amass}


def rigid(skeleton=HUMANML3D, people: int = 1) -> np.ndarray:
    """A dance of bodies whose bones and shapes never change."""
    return np.stack(
        [forward_kinematics(fit(person, skeleton), skeleton) for person in dance(skeleton, people=(people,))]
    )


def growing(skeleton=HUMANML3D, people: int = 1) -> np.ndarray:
    """The same, but for the last person, who is a fifth larger from frame 5 on."""
    joints = rigid(skeleton, people)
    root = joints[-1, 5:, :1]
    joints[-1, 5:] = root + 1.2 * (joints[-1, 5:] - root)
    return joints


def written(tmp_path, name: str, motion: Motion) -> list:
    return WRITERS[name](tmp_path / name, motion) or [tmp_path / name]


@pytest.mark.parametrize("name", WRITERS)
def test_of_a_body_that_never_changes_nothing_is_said(tmp_path, name):
    motion = Motion(rigid())
    assert export_notes(written(tmp_path, name, motion), motion) == ()


@pytest.mark.parametrize("name", ["walk.bvh", "walk.glb"])
@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda skeleton: skeleton.name)
def test_a_body_that_changes_keeps_its_joints_and_it_is_said_what_turns_alone_would_give(tmp_path, name, skeleton):
    motion = Motion(growing(skeleton), skeleton.fps, skeleton)
    (note,) = export_notes(written(tmp_path, name, motion), motion)
    assert note.startswith(f"{tmp_path / name}: the body's bones change, so its joints move as well as turn; by their")
    assert " mm off on average and " in note
    assert any(f"({joint}, frame " in note for joint in skeleton.joints)


def test_bvhs_joints_of_a_body_that_changes_are_the_motions(tmp_path):
    motion = Motion(growing())
    write_bvh(tmp_path / "walk.bvh", motion)
    np.testing.assert_allclose(load_motion(tmp_path / "walk.bvh").joints, motion.joints, atol=1e-5)
    (tree,) = parse_bvh(tmp_path / "walk.bvh", "it").trees
    assert {len(channels) for name, channels in zip(tree.names, tree.channels) if not name.endswith("_end")} == {6}


@pytest.mark.parametrize("moved", [0.05, 0.3])
@pytest.mark.parametrize("joint", ["right_wrist", "left_knee", "head"])
def test_a_joint_that_leaves_its_bone_in_one_frame_is_where_it_was(tmp_path, moved, joint):
    joints = rigid()
    joints[0, 4, HUMANML3D.joints.index(joint)] += [moved, moved, 0]
    for name in ("walk.bvh", "walk.glb"):
        motion = Motion(joints)
        assert not any("cannot follow" in note for note in export_notes(written(tmp_path, name, motion), motion))
    np.testing.assert_allclose(load_motion(tmp_path / "walk.bvh").joints, joints, atol=1e-5)


def test_amass_has_turns_alone_and_says_where_they_fail(tmp_path):
    motion = Motion(growing())
    paths = written(tmp_path, "walk.amass.npz", motion)
    away = np.linalg.norm(load_motion(paths[0]).joints - motion.joints, axis=-1)[0] * 1000
    frame, joint = np.unravel_index(away.argmax(), away.shape)
    assert export_notes(paths, motion) == (
        f"{paths[0]}: joints are {away.mean():.1f} mm off on average and {away.max():.0f} mm at most "
        f"({HUMANML3D.joints[joint]}, frame {frame}), since rigid bones cannot follow this body",
    )


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("walk.bvh", "walk_2.bvh: "), ("walk.glb", "walk.glb, person 2: "), ("walk.amass.npz", "walk_2.")],
)
def test_the_person_who_changes_is_named(tmp_path, name, beginning):
    motion = Motion(growing(people=2))
    (note,) = export_notes(written(tmp_path, name, motion), motion)
    assert note.removeprefix(f"{tmp_path}/").startswith(beginning)


def test_bones_that_leave_a_joint_in_no_rigid_shape_are_said_of_a_bvh_and_followed_by_a_glb(tmp_path):
    motion = Motion(dance(people=(1,)))
    (note,) = export_notes(written(tmp_path, "walk.bvh", motion), motion)
    assert "walk.bvh: joints are " in note
    assert "since rigid bones cannot follow this body" in note
    assert export_notes(written(tmp_path, "walk.glb", motion), motion) == ()


@pytest.mark.parametrize("kind", ["npz", "png"])
def test_of_files_that_are_the_joints_themselves_nothing_is_said(tmp_path, kind):
    assert export_notes([tmp_path / f"walk.{kind}"], Motion(growing())) == ()


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    ("motion", "problem"),
    [
        (Motion(rigid(), 1e12), r"1e\+12 frames a second"),
        (Motion(rigid(), 1e-9), "1e-09 frames a second"),
        (Motion(rigid() * 1e20), r"joints lie .*e\+20 m from the origin"),
        (Motion(rigid() + 1e6), r"joints lie 1e\+06 m from the origin"),
    ],
    ids=["fast", "slow", "huge", "far"],
)
def test_rates_and_places_that_no_reader_takes_are_refused_and_nothing_is_written(tmp_path, name, motion, problem):
    with pytest.raises(ValueError, match=rf"cannot write '.*{name}': {problem}"):
        WRITERS[name](tmp_path / name, motion)
    assert list(tmp_path.iterdir()) == []
