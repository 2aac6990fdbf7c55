import re

import numpy as np
import pytest

from motiongpt3_jax.motion import (
    HUMANML3D,
    KIT,
    Motion,
    canonicalise,
    joints_to_features,
    load_motion,
    read_motion,
    save_motion,
)
from motiongpt3_jax.motion.fitting import Fitted, forward_kinematics
from tests.motion.bvh_files import standing, still, tree_of, write
from tests.motion.samples import dance


def motion(**options) -> Motion:
    skeleton = options.get("skeleton", HUMANML3D)
    joints = dance(skeleton, options.pop("frames", 9), people=(options.pop("persons", 1),))
    return Motion(joints, **options)


def same(a: Motion, b: Motion) -> None:
    np.testing.assert_array_equal(a.joints, b.joints)
    assert (a.fps, a.skeleton) == (b.fps, b.skeleton)


@pytest.mark.parametrize(
    "options", [{}, {"persons": 2}, {"fps": 30.0}, {"skeleton": KIT, "fps": 12.5}], ids=["one", "two", "fps", "kit"]
)
def test_npz_loses_nothing(tmp_path, options):
    ours = motion(**options)
    save_motion(tmp_path / "deep" / "walk.npz", ours)
    same(load_motion(tmp_path / "deep" / "walk.npz"), ours)


@pytest.mark.parametrize(
    "options", [{"persons": 2}, {"frames": 1}, {"skeleton": KIT, "fps": 12.5}], ids=["two", "frame", "kit"]
)
def test_npz_holds_bodies_that_stand_where_the_joints_are(tmp_path, options):
    ours = motion(**options)
    save_motion(tmp_path / "walk.npz", ours)
    with np.load(tmp_path / "walk.npz") as content:
        bodies = zip(content["offsets"], content["rotations"], content["root"], strict=True)
        for body, joints in zip(bodies, ours.joints, strict=True):
            np.testing.assert_allclose(forward_kinematics(Fitted(*body), ours.skeleton), joints, atol=0.1)
            np.testing.assert_array_equal(body[2], joints[:, 0])
        assert content["contacts"].shape == (ours.persons, ours.frames, 4)
        assert {content[name].dtype for name in ("offsets", "rotations", "root", "contacts")} == {np.dtype("float32")}


@pytest.mark.parametrize("fps", [20.0, 10.0])
def test_contacts_are_of_speeds_and_the_last_frame_repeats(tmp_path, fps):
    joints = np.tile(dance(frames=1), (1, 4, 1, 1))
    joints[0, :, 10, 0] += np.array([0, 0, 0.06, 0.12])
    save_motion(tmp_path / "walk.npz", Motion(joints, fps))
    with np.load(tmp_path / "walk.npz") as content:
        contacts = content["contacts"][0]
    np.testing.assert_array_equal(contacts[:, 1], [1, 1, 1, 1] if fps == 10 else [1, 0, 0, 0])
    np.testing.assert_array_equal(contacts[:, [0, 2, 3]], 1)


@pytest.mark.parametrize("persons", [1, 2])
def test_npy_holds_joints(tmp_path, persons):
    ours = motion(persons=persons)
    save_motion(tmp_path / "walk.npy", ours)
    assert np.load(tmp_path / "walk.npy").ndim == (3 if persons == 1 else 4)
    same(load_motion(tmp_path / "walk.npy"), ours)


def test_npy_of_kit_is_in_its_own_unit(tmp_path):
    ours = motion(skeleton=KIT, fps=12.5)
    save_motion(tmp_path / "walk.npy", ours)
    np.testing.assert_allclose(np.load(tmp_path / "walk.npy"), ours.joints[0] * 640, rtol=1e-6)
    np.testing.assert_allclose(load_motion(tmp_path / "walk.npy").joints, ours.joints, rtol=1e-6)


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT])
def test_npy_of_features_becomes_joints(tmp_path, skeleton):
    joints = dance(skeleton)
    np.save(tmp_path / "walk.npy", joints_to_features(joints, skeleton))
    ours = load_motion(tmp_path / "walk.npy")
    assert (ours.skeleton, ours.fps) == (skeleton, skeleton.fps)
    np.testing.assert_allclose(ours.joints[0], canonicalise(joints, skeleton)[:-1], atol=1e-5)


def test_normalised_features_need_the_statistics_that_made_them(tmp_path):
    joints = dance(frames=30)
    raw = joints_to_features(joints)
    mean, std = raw.mean(axis=0), np.maximum(raw.std(axis=0), 0.01)
    np.save(tmp_path / "raw.npy", raw)
    np.save(tmp_path / "walk.npy", (raw - mean) / std)
    with pytest.raises(ValueError, match=r"walk.npy' holds features that look normalised; .* or give --model RUN"):
        load_motion(tmp_path / "walk.npy")
    motion, notes = read_motion(tmp_path / "walk.npy", statistics=(mean, std))
    np.testing.assert_allclose(motion.joints[0], canonicalise(joints)[:-1], atol=1e-5)
    assert notes == ("features are read as normalised, with the model's statistics",)
    motion, notes = read_motion(tmp_path / "raw.npy", statistics=(mean, std))
    np.testing.assert_allclose(motion.joints[0], canonicalise(joints)[:-1], atol=1e-5)
    assert notes == ("features are read as raw",)


def test_statistics_that_do_not_fit_are_refused(tmp_path):
    raw = joints_to_features(dance(frames=30))
    mean, std = raw.mean(axis=0), np.maximum(raw.std(axis=0), 0.01)
    np.save(tmp_path / "walk.npy", (raw - mean) / std)
    with pytest.raises(ValueError, match="263 features a frame; the model's statistics are of 251"):
        load_motion(tmp_path / "walk.npy", statistics=(mean[:251], std[:251]))
    with pytest.raises(ValueError, match="neither raw nor normalised with the model's statistics"):
        load_motion(tmp_path / "walk.npy", statistics=(mean + 5, std))


def test_bvh_is_read_by_its_own_rate_and_names_or_those_that_are_given(tmp_path):
    joints = tree_of(lambda joint: "Bone" if joint == "left_knee" else joint)
    path = write(tmp_path / "walk.BVH", joints, [still(joints)] * 3, time="0.05")
    with pytest.raises(ValueError, match="looks like left_knee"):
        load_motion(path)
    motion, notes = read_motion(path, fps=40, file_fps=10, mapping={"left_knee": "Bone"})
    assert (motion.frames, motion.fps) == (5, 40)
    np.testing.assert_allclose(motion.joints[0, 4], standing(), atol=1e-5)
    assert "metres" in notes[-1]


def test_npy_cannot_hold_another_fps(tmp_path):
    with pytest.raises(ValueError, match=r"30 fps, which .npy cannot hold \(readers take 20\); save it as .npz"):
        save_motion(tmp_path / "walk.npy", motion(fps=30.0))


def test_files_of_another_fps_are_resampled(tmp_path):
    save_motion(tmp_path / "walk.npy", motion())
    assert load_motion(tmp_path / "walk.npy", fps=20, file_fps=40).frames == 5
    save_motion(tmp_path / "walk.npz", motion(fps=10.0))
    assert load_motion(tmp_path / "walk.npz", fps=20).frames == 17


SHAPES = [
    ((60, 24, 3), r"shape \(60, 24, 3\); expected \(frames, 22, 3\) joints .*\n24 joints look like full SMPL: drop"),
    ((60, 52, 3), "SMPL-H"),
    ((60, 66), r"reshape\(-1, 22, 3\)"),
    ((263, 60), "exchanged"),
    ((22, 3), "one pose"),
    ((2, 60, 263), "one motion a file"),
    ((60,), r"expected \(frames, 22, 3\) joints in metres or \(frames, 263\) features"),
    ((0, 22, 3), "empty"),
    ((0, 263), "empty"),
]


@pytest.mark.parametrize(("shape", "message"), SHAPES)
def test_npy_of_another_shape_is_refused(tmp_path, shape, message):
    np.save(tmp_path / "walk.npy", np.zeros(shape))
    with pytest.raises(ValueError, match=message):
        load_motion(tmp_path / "walk.npy")


@pytest.mark.parametrize("shape", [(3, 22, 3), (3, 263)])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_are_refused(tmp_path, shape, value):
    array = np.zeros(shape)
    array[1, 2] = value
    np.save(tmp_path / "walk.npy", array)
    with pytest.raises(ValueError, match=r"walk.npy' has \d+ values that are not finite .* index \(1, 2"):
        load_motion(tmp_path / "walk.npy")


def test_integers_are_refused(tmp_path):
    np.save(tmp_path / "walk.npy", np.zeros((3, 22, 3), np.int32))
    with pytest.raises(ValueError, match="int32 values; expected floating point"):
        load_motion(tmp_path / "walk.npy")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickled_objects_are_never_loaded(tmp_path, suffix):
    path, objects = tmp_path / f"walk{suffix}", np.array([{"joints": 1}], dtype=object)
    if suffix == ".npy":
        np.save(path, objects, allow_pickle=True)
    else:
        np.savez(path, joints=objects)
    with pytest.raises(ValueError, match="pickled Python objects, which could run code"):
        load_motion(path)


def test_results_of_mdm_are_refused_with_the_way_to_a_motion_of_them(tmp_path):
    np.save(tmp_path / "results.npy", {"motion": dance(frames=30).transpose(1, 2, 0)[None]}, allow_pickle=True)
    with pytest.raises(ValueError, match=r"pickled Python objects, .* results.npy, as MDM writes it") as error:
        load_motion(tmp_path / "results.npy")
    call = str(error.value).rpartition("motion is ")[2].removesuffix(".").replace("'results.npy'", "path")
    np.save(tmp_path / "first.npy", eval(call, {"numpy": np, "path": tmp_path / "results.npy"}))
    np.testing.assert_array_equal(load_motion(tmp_path / "first.npy").joints[0], dance(frames=30).astype(np.float32))


@pytest.mark.parametrize("content", [b"a walk", b"\x80\x04\x95"])
def test_another_kind_of_file_under_the_name_npy_is_named(tmp_path, content):
    (tmp_path / "walk.npy").write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(f"is no .npy file: it begins with {content!r}; save it with numpy")):
        load_motion(tmp_path / "walk.npy")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00", b"PK\x03\x04broken"])
def test_broken_files_are_refused(tmp_path, suffix, content):
    path = tmp_path / f"walk{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="walk"):
        load_motion(path)


@pytest.mark.parametrize(("name", "damage"), [("walk.npz", b"\xff" * 40), ("walk.npy", b"{('")])
def test_a_file_with_damaged_bytes_is_refused(tmp_path, name, damage):
    save_motion(tmp_path / name, motion())
    content = bytearray((tmp_path / name).read_bytes())
    start = 300 if name == "walk.npz" else 10
    content[start : start + len(damage)] = damage
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"is not a readable .np. file .*; write it anew"):
        load_motion(tmp_path / name)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"motion '.*walk.npy' does not exist; give the path"):
        load_motion(tmp_path / "walk.npy")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(FileNotFoundError, match="is a folder"):
        load_motion(tmp_path / "folder.npz")


def test_other_endings_are_refused(tmp_path):
    for call in (lambda: load_motion(tmp_path / "walk.txt"), lambda: save_motion(tmp_path / "walk.txt", motion())):
        with pytest.raises(ValueError, match=r"ends in '.txt'; expected one of .npy, .npz"):
            call()


@pytest.mark.parametrize("ending", ["fbx", "FBX", "c3d", "glb", "blend", "asf", "amc", "vmd", "trc", "usd"])
def test_files_that_tools_export_as_bvh_are_to_be_so(tmp_path, ending):
    with pytest.raises(
        ValueError, match=rf"ends in '.{ending}'; expected one of .*: export it as BVH, e.g. from Blender"
    ):
        load_motion(tmp_path / f"walk.{ending}")


@pytest.mark.parametrize("ending", ["pkl", "pickle", "pt", "pth", "mat", "h5", "joblib"])
def test_files_of_arrays_are_to_be_saved_as_arrays(tmp_path, ending):
    with pytest.raises(
        ValueError, match=rf"ends in '.{ending}'; .*: save its joints \(frames, 22, 3\), y up, in metres"
    ):
        load_motion(tmp_path / f"walk.{ending}")


ARCHIVES = [
    ({"poses": np.zeros((3, 22, 3))}, "no array 'joints', only 'poses'"),
    ({"joints": np.zeros((3, 22, 3)), "skeleton": "spider"}, "skeleton 'spider'; known are humanml3d, kit"),
    ({"joints": np.zeros((3, 24, 3))}, r"shape \(3, 24, 3\); expected \(persons, frames, 22, 3\).*\n24 joints"),
    ({"joints": np.zeros((3, 22, 3)), "fps": np.zeros(2)}, "walk.npz' has fps .* expected one number"),
    ({"joints": np.zeros((3, 22, 3)), "fps": 20 + 0j}, r"walk.npz' has fps array\(20.\+0.j\); expected one number"),
    ({"joints": np.zeros((3, 22, 3)), "fps": "20"}, "expected one number"),
    ({"joints": np.zeros((3, 22, 3)), "skeleton": np.arange(9.0)}, r"has the skeleton '\[0. 1."),
    ({"joints": np.zeros((3, 22, 3)), "fps": 0.0}, "walk.npz. has fps 0.0; expected 0.1 to 10,000 frames in a second"),
]


def test_frame_rates_that_no_camera_has_are_refused_with_the_file(tmp_path):
    np.save(tmp_path / "walk.npy", dance())
    for rate in (1e-320, -20.0, 1e12, np.nan, np.inf):
        np.savez(tmp_path / "walk.npz", joints=dance(), fps=rate)
        with pytest.raises(ValueError, match=r"walk.npz' has fps .*; expected 0.1 to 10,000 frames in a second"):
            load_motion(tmp_path / "walk.npz")
        with pytest.raises(ValueError, match=r"walk.npy' has fps .*; expected 0.1 to 10,000 frames in a second"):
            load_motion(tmp_path / "walk.npy", file_fps=rate)


def test_only_what_is_needed_of_an_archive_is_read(tmp_path):
    np.savez(tmp_path / "walk.npz", joints=dance(), junk=np.array([{}], dtype=object), fps=30.0)
    with pytest.raises(ValueError, match="allow_pickle"):
        np.load(tmp_path / "walk.npz")["junk"]
    assert load_motion(tmp_path / "walk.npz").fps == 30


def test_what_a_bvh_file_holds_is_said_with_its_name(tmp_path):
    joints = tree_of(lambda joint: joint)
    flat = [(name, parent, (0, 0, 0)) for name, parent, _ in joints]
    path = write(tmp_path / "walk.bvh", flat, [still(flat)] * 3)
    with pytest.raises(ValueError, match=r"walk.bvh'.*legs have no length"):
        load_motion(path)


@pytest.mark.parametrize(("content", "message"), ARCHIVES)
def test_npz_that_says_something_else_is_refused(tmp_path, content, message):
    np.savez(tmp_path / "walk.npz", **content)
    with pytest.raises(ValueError, match=message):
        load_motion(tmp_path / "walk.npz")


def test_npz_of_one_person_needs_no_axis_for_it(tmp_path):
    np.savez(tmp_path / "walk.npz", joints=dance())
    assert load_motion(tmp_path / "walk.npz").persons == 1


def test_joints_beside_the_arrays_of_amass_are_what_counts(tmp_path):
    joints = dance()
    np.savez(tmp_path / "walk.npz", joints=joints, poses=np.zeros((9, 156)), trans=np.zeros((9, 3)))
    np.testing.assert_array_equal(load_motion(tmp_path / "walk.npz").joints[0], joints.astype(np.float32))


def test_writing_happens_at_once_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "walk.npz"
    save_motion(path, motion())
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="no space left"):
        save_motion(path, motion(persons=2))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
