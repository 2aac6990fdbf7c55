import numpy as np
import pytest

from motiongpt3_jax.data_pipelines.procedural_pairs import generate
from motiongpt3_jax.motion import KIT, Motion, load_motion, save_motion
from tests.commands.conftest import call
from tests.motion.bvh_files import standing
from tests.motion.samples import dance


@pytest.mark.parametrize(
    ("kind", "one", "two"),
    [
        ("bvh", ["walk.bvh"], ["walk_1.bvh", "walk_2.bvh"]),
        ("glb", ["walk.glb"], ["walk.glb"]),
        ("amass", ["walk.amass.npz"], ["walk_1.amass.npz", "walk_2.amass.npz"]),
        ("interhuman", ["walk.interhuman.npy"], ["walk_1.interhuman.npy", "walk_2.interhuman.npy"]),
        ("npz", ["walk.npz"], ["walk.npz"]),
        ("gif", ["walk.gif"], ["walk.gif"]),
        ("mp4", ["walk.mp4"], ["walk.mp4"]),
        ("png", ["walk.png"], ["walk.png"]),
        ("html", ["walk.html"], ["walk.html"]),
    ],
)
def test_bodies_are_written_and_named(tmp_path, kind, one, two):
    for persons, names in ((1, one), (2, two)):
        save_motion(tmp_path / "walk.npz", Motion(dance(people=(persons,)), 30.0))
        out = tmp_path / str(persons)
        status, said, error = call("convert", "--motion", tmp_path / "walk.npz", "--to", kind, "--out", out)
        assert status == 0, error
        assert said.split() == [str(out / name) for name in names]
        assert sorted(path.name for path in out.iterdir()) == names


@pytest.mark.parametrize("kind", ["bvh", "amass"])
def test_what_is_written_can_be_converted_again(tmp_path, kind):
    ours = Motion(dance(people=(1,)), 30.0)
    save_motion(tmp_path / "walk.npz", ours)
    _, said, _ = call("convert", "--motion", tmp_path / "walk.npz", "--to", kind)
    status, _, error = call("convert", "--motion", said.strip(), "--to", "npz", "--out", tmp_path / "back")
    assert status == 0, error
    (path,) = (tmp_path / "back").iterdir()
    assert np.linalg.norm(load_motion(path).joints - ours.joints, axis=-1).mean() < 0.02


@pytest.mark.parametrize("kind", ["bvh", "amass", "npy", "interhuman"])
def test_two_people_come_back_in_one_world(tmp_path, kind):
    ours = Motion(generate(3).joints[:, :40])
    save_motion(tmp_path / "duet.npz", ours)
    status, said, error = call("convert", "--motion", tmp_path / "duet.npz", "--to", kind)
    assert status == 0, error
    asked = ("convert", "--motion", *said.split(), "--together", "--to", "npz", "--out", tmp_path / "back")
    status, said, error = call(*asked, "--fps", 20)
    assert status == 0, error
    back = load_motion(said.strip()).joints
    assert back.shape[0] == 2
    joints = ours.joints[:, : back.shape[1]]
    if kind == "interhuman":  # which each person stands on the floor of, and in the frame of the first
        gaps = [np.linalg.norm(each[0] - each[1], axis=-1) for each in (joints, back)]
        assert np.abs(gaps[0] - gaps[1]).max() < 0.02
    else:
        assert np.linalg.norm(back - joints, axis=-1).mean() < 0.02


def test_persons_that_differ_are_no_motion_together(tmp_path):
    for name, frames in (("a", 9), ("b", 8)):
        save_motion(tmp_path / f"{name}.npz", Motion(dance(people=(1,), frames=frames)))
    files = tmp_path / "a.npz", tmp_path / "b.npz"
    status, _, error = call("convert", "--motion", *files, "--together", "--to", "gif")
    assert status == 2
    assert "b.npz' has frames 8 and" in error
    files[1].write_bytes(b"x")
    status, _, error = call("convert", "--motion", *files, "--together", "--to", "gif")
    assert status == 2
    assert "--together needs all of its files" in error
    assert not list(tmp_path.glob("*.gif"))


def test_of_several_files_none_is_written_where_one_cannot_be(tmp_path):
    save_motion(tmp_path / "good.npz", Motion(dance(people=(1,))))
    save_motion(tmp_path / "kit.npz", Motion(dance(KIT, people=(1,)), 12.5, KIT))
    save_motion(tmp_path / "fast.npz", Motion(dance(people=(1,)), 0.2))
    save_motion(tmp_path / "slow.npz", Motion(dance(people=(1,)), 30.0))
    for kind, bad in (("amass", "kit"), ("bvh", "fast"), ("glb", "fast"), ("npy", "slow")):
        asked = ("--motion", tmp_path / "good.npz", tmp_path / f"{bad}.npz", "--to", kind, "--out", tmp_path / "out")
        status, said, error = call("convert", *asked)
        assert (status, said) == (2, "")
        assert f"{bad}." in error
        assert not list((tmp_path / "out").glob("*"))


def test_how_far_an_export_is_off_is_said(tmp_path):
    joints = dance(people=(1,))
    joints[:, 5:] *= 1.2
    save_motion(tmp_path / "two.npz", Motion(joints))
    status, said, error = call("convert", "--motion", tmp_path / "two.npz", "--to", "amass")
    assert (status, said.strip()) == (0, str(tmp_path / "two.amass.npz"))
    assert "two.npz: the body changes: its legs are" in error
    assert "two.amass.npz: joints are " in error
    assert " mm at most (" in error


def test_frames_that_lie_far_away_are_said_and_left_out_on_request(tmp_path):
    joints = np.repeat(standing()[None, None], 9, axis=1)
    joints[:, :2] += [36, 0, 0]
    joints[:, 8:] += [0, 0, 20]
    save_motion(tmp_path / "far.npz", Motion(joints))
    _, _, error = call("convert", "--motion", tmp_path / "far.npz", "--to", "npz", "--out", tmp_path / "all")
    assert "from frame 1 to 2 the body moves 36 m, 720 m/s (one of 2 such steps)" in error
    asked = ("convert", "--motion", tmp_path / "far.npz", "--to", "npz", "--out", tmp_path / "cut")
    _, _, error = call(*asked, "--start", 2)
    assert "from frame 7 to 8 the body moves 20 m" in error
    assert "--stop 8" in error
    status, _, error = call(*asked, "--start", 2, "--stop", 8)
    assert (status, error) == (0, "")
    np.testing.assert_allclose(load_motion(tmp_path / "cut" / "far.npz").joints, joints[:, 2:8], atol=1e-6)
    status, _, error = call(*asked, "--start", 9)
    assert status == 2
    assert "far.npz' has the frames 0 to 8; --start 9" in error


def test_files_of_other_tools_are_to_be_exported_as_bvh(tmp_path):
    for ending in ("fbx", "c3d", "glb"):
        (tmp_path / f"walk.{ending}").write_bytes(b"x")
        status, _, error = call("convert", "--motion", tmp_path / f"walk.{ending}", "--to", "npz")
        assert status == 2
        assert "export it as BVH" in error
    (tmp_path / "walk.pkl").write_bytes(b"x")
    assert "save its joints (frames, 22, 3)" in call("convert", "--motion", tmp_path / "walk.pkl", "--to", "npz")[2]


def test_an_axis_may_be_said_without_a_file(tmp_path):
    joints = np.repeat(standing()[None, None], 3, axis=1) * [1, -1, -1]
    save_motion(tmp_path / "down.npz", Motion(joints))
    asked = ("convert", "--motion", tmp_path / "down.npz", "--to", "npz", "--out", tmp_path / "up")
    option = call(*asked)[2].partition("--mapping '")[2].strip().removesuffix("'")
    status, _, error = call(*asked, "--mapping", option)
    assert (status, error) == (0, "")
    np.testing.assert_allclose(load_motion(tmp_path / "up" / "down.npz").joints[0, 0], standing(), atol=1e-6)


def test_a_skeleton_that_amass_lacks_is_one_sentence(tmp_path):
    save_motion(tmp_path / "walk.npz", Motion(dance(KIT, people=(1,)), 12.5, KIT))
    status, _, error = call("convert", "--motion", tmp_path / "walk.npz", "--to", "amass")
    assert status != 0
    assert "AMASS has SMPL's joints" in error
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["walk.npz"]
