"""The check of a folder knows all that the reader of one file knows, and what captions and names cannot be."""

import re

import numpy as np
import pytest

from motiongpt3_jax.data_pipelines import records
from motiongpt3_jax.data_pipelines.check import check
from motiongpt3_jax.data_pipelines.clip import Clip
from motiongpt3_jax.data_pipelines.humanml3d import build, clips
from motiongpt3_jax.data_pipelines.statistics import Statistics
from motiongpt3_jax.motion import HUMANML3D, joints_to_features
from tests.data_pipelines.samples import LIMITS, humanml3d, walk
from tests.motion.test_arrays import claiming, header


@pytest.fixture
def joints(tmp_path):
    return humanml3d(tmp_path / "joints")


@pytest.fixture
def features(tmp_path):
    return humanml3d(tmp_path / "features", features=True)


def one(folder):
    """What the check finds, and that nothing is built unless it is left out."""
    problems = check(folder, **LIMITS)
    assert len(problems) == 1, [str(problem) for problem in problems]
    assert problems[0].bad
    out = folder.parent / "built"
    with pytest.raises(ValueError, match=re.escape(problems[0].what)):
        build(folder, out, **LIMITS)
    assert not out.exists()
    built = build(folder, out, **LIMITS, on_bad="skip")
    assert built.metadata.skipped == [str(problems[0])]
    return problems[0]


RAW = joints_to_features(walk(10))

FEATURES = {
    "normalised": ((RAW - RAW.mean(0)) / np.maximum(RAW.std(0), 0.01), "holds features that look normalised"),
    "normalised by another's statistics": ((RAW - 0.3) / 0.2, "holds features that look normalised"),
    "zeros": (RAW * 0, "shows no body in any of its 9 frames"),
    "padded": (np.concatenate([RAW, RAW[:5] * 0]), "has no body in frames 9 to 13 of 14"),
    "1e20 everywhere": (RAW * 1e20, "has features up to"),
    "1e20 in places": (np.where(np.arange(263) == 1, 1e20, RAW), "has features up to 1e+20, the first at index (0, 1)"),
    "far away": (np.where(np.arange(263) == 3, 101, RAW), "has features up to 101"),
}


@pytest.mark.parametrize(("array", "what"), FEATURES.values(), ids=FEATURES)
def test_features_that_no_file_could_have_are_found(features, array, what):
    np.save(features / "new_joint_vecs" / "b.npy", array.astype(np.float32))
    assert one(features).what.startswith(what)


@pytest.mark.parametrize("with_statistics", [False, True])
@pytest.mark.parametrize("names", ["abcd", "bc", "d"])
def test_normalised_features_are_bad_file_by_file(features, names, with_statistics):
    mean, std = RAW.mean(0), np.maximum(RAW.std(0), 0.01)
    for name, array in (("Mean", mean), ("Std", std)) if with_statistics else ():
        np.save(features / f"{name}.npy", array)
    for name in names:
        file = features / "new_joint_vecs" / f"{name}.npy"
        np.save(file, (np.load(file) - mean) / std)
    problems = [problem for problem in check(features, **LIMITS) if problem.file.startswith("new_joint_vecs")]
    assert [problem.file for problem in problems] == [f"new_joint_vecs/{name}.npy" for name in names]
    assert {(problem.what, problem.bad) for problem in problems} == {("holds features that look normalised", True)}
    with pytest.raises(ValueError, match="look normalised"):
        build(features, features.parent / "built", **LIMITS)


def far_off(joints):
    joints = joints.copy()
    joints[:1] += [36, 0, 0]
    return joints


BUILT = {
    "normalised": (FEATURES["normalised"][0], "bad", " holds features that look normalised"),
    "zeros": (RAW * 0, "bad", " shows no body in any of its 9 frames"),
    "padded": (FEATURES["padded"][0], "bad", " has no body in frames 9 to 13 of 14"),
    "upside_down": (joints_to_features(walk(10) * [1, -1, -1]), "odd", ": the body is upside down"),
    "mirrored": (joints_to_features(walk(10) * [-1, 1, 1]), "odd", ": the body is a mirror image"),
    "large": (joints_to_features(walk(10) * 20), "odd", ": the body has legs of 12 m"),
    "jumping": (joints_to_features(far_off(walk(10))), "odd", ": from frame 0 to 1 the body moves 36 m"),
}


def test_clips_of_a_built_folder_are_judged_as_files_are(tmp_path):
    arrays = {"sound": RAW} | {name: array for name, (array, _, _) in BUILT.items()}
    splits = {"train": [Clip(name, array.astype(np.float32), ("it goes",)) for name, array in arrays.items()]}
    statistics = Statistics(np.zeros(263, np.float32), np.ones(263, np.float32))
    bones = HUMANML3D.offsets(walk(1)[0])
    records.build(tmp_path / "built", splits, source="made up", offsets=bones, statistics=statistics)
    problems = check(tmp_path / "built")
    for problem, (name, (_, severity, what)) in zip(problems, BUILT.items(), strict=True):
        assert (problem.file, problem.severity) == ("split 'train'", severity)
        assert problem.what.startswith(f"clip '{name}'{what}")


def with_joint(joint, frame, moved):
    joints = walk(9)
    joints[frame, joint] += moved
    return joints


JOINTS = {
    "zeros": (walk(9) * 0, "shows no body in any of its 9 frames"),
    "padded": (np.concatenate([walk(9), np.zeros((6, 22, 3))]), "has no body in frames 9 to 14 of 15"),
    "a hole": (walk(9) * (np.arange(9) != 4)[:, None, None], "has frames in which there is no body, the first is 4"),
    "1e20 m": (walk(9) * 1e20, "has joints up to"),
    "a knee far away": (with_joint(4, 3, [58, 0, 0]), "has a bone of 58 m to joint 4 (left_knee) in frame 3"),
    "a hand far away": (with_joint(20, 0, [0, 9, 0]), "has a bone of 8.8 m to joint 20 (left_wrist) in frame 0"),
    "a pelvis far away": (with_joint(0, 8, [0, 0, 3]), "has a bone of "),
    "MDM's axes": (walk(9).transpose(1, 2, 0), "has shape (22, 3, 9); expected (frames, 22, 3)"),
}


@pytest.mark.parametrize(("array", "what"), JOINTS.values(), ids=JOINTS)
def test_joints_that_no_body_has_are_found(joints, array, what):
    np.save(joints / "new_joints" / "b.npy", array.astype(np.float32))
    problem = one(joints)
    assert problem.what.startswith(what)
    if array.shape == (22, 3, 9):
        assert problem.advice == "The frames come last, as MDM writes them: save array.transpose(2, 0, 1)."


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (claiming((10**12, 22, 3)), "breaks off: its header claims"),
        (header("((((("), "has a header that is damaged"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer"),
    ],
)
@pytest.mark.parametrize("file", ["new_joint_vecs/b.npy", "Mean.npy", "Std.npy"])
def test_files_that_lie_about_themselves_are_found(features, file, content, what):
    for name in ("Mean.npy", "Std.npy"):
        np.save(features / name, np.ones(263, np.float32))
    (features / file).write_bytes(content)
    problem = one(features)
    assert problem.file == file
    assert what in problem.what


@pytest.mark.parametrize("file", ["Mean.npy", "Std.npy"])
def test_statistics_beyond_all_bodies_are_found(features, file):
    for name in ("Mean.npy", "Std.npy"):
        np.save(features / name, np.full(263, 1e20 if name == file else 1, np.float32))
    problem = one(features)
    assert (problem.file, problem.what) == (
        file,
        "has features up to 1e+20, the first at index (0,), which no body has",
    )


CAPTIONS = {
    "the end of texts": ("he walks <|endoftext|>", "<|endoftext|>, which has a meaning of its own"),
    "a place for a motion": ("<motion_latent_holder> walks", "<motion_latent_holder>, which has a meaning of its own"),
    "a placeholder": ("<Caption_Placeholder>", "<Caption_Placeholder>, which stands for something else in templates"),
    "a NUL": ("he\0walks", "the control character U+0000"),
    "an escape": ("\x1b[31mhe walks", "the control character U+001B"),
    "a book": ("he walks " * 12_000, "has a caption of 107,999 letters"),
}


@pytest.mark.parametrize(("caption", "what"), CAPTIONS.values(), ids=CAPTIONS)
def test_captions_that_are_no_sentences_are_found_and_left_out(joints, caption, what):
    (joints / "texts" / "b.txt").write_text(f"sound#t#0.0#0.0\n{caption}#t#0.0#0.0\n", encoding="utf-8")
    problem = one(joints)
    assert (problem.file, problem.line) == ("texts/b.txt", 2)
    assert what in problem.what
    captions = {clip.id: clip.captions for clip in clips(joints, "train", **LIMITS, on_bad="skip")}
    assert captions["b"] == ("sound",)


def test_times_beyond_all_recordings_are_found(joints):
    (joints / "texts" / "b.txt").write_text("sound#t#0.0#0.0\nit goes#t#0.0#1e308\n")
    assert one(joints).what == "is about 0 to 1e+308 s"


def test_a_text_that_is_a_pointer_or_a_library_is_found(joints):
    (joints / "texts" / "b.txt").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid")
    assert any("Git LFS pointer" in problem.what for problem in check(joints, **LIMITS))
    (joints / "texts" / "b.txt").write_bytes(b"a walk#t#0.0#0.0\n" * 100_000)
    assert any("has more than 1,048,576 bytes" in problem.what for problem in check(joints, **LIMITS))


NAMES = {
    "with its ending": ("b.npy", "lists 'b.npy'", "names stand without their folder and ending: write 'b'"),
    "of its text": ("b.txt", "lists 'b.txt'", "write 'b'"),
    "of an archive": ("b.npz", "lists 'b.npz'", "write 'b'"),
    "of a recording": ("b.BVH", "lists 'b.BVH'", "write 'b'"),
    "with two endings": ("b.npy.npy", "lists 'b.npy.npy'", "write 'b'"),
    "with its folder": ("new_joints/b", "lists 'new_joints/b'", "write 'b'"),
    "with all": ("./new_joint_vecs/b.npy", "lists './new_joint_vecs/b.npy'", "write 'b'"),
    "of a neighbour": ("../other/b", "lists '../other/b', which leads out of the folder", "that lie in it"),
    "from the root": ("/etc/passwd", "lists '/etc/passwd', which leads out", "that lie in it"),
    "with a NUL": ("b\0c", r"lists 'b\x00c', which is no name", "names of motions"),
    "that is a line of something": ("b" * 300, "which is no name", "names of motions"),
}


@pytest.mark.parametrize(("name", "what", "advice"), NAMES.values(), ids=NAMES)
def test_names_that_are_none_are_found_and_never_opened(joints, name, what, advice):
    humanml3d(joints.parent / "other")
    (joints / "train.txt").write_text(f"a\nb\n{name}\n")
    problem = one(joints)
    assert (problem.file, problem.line) == ("train.txt", 3)
    assert what in problem.what
    assert advice in problem.advice
    assert [clip.id for clip in clips(joints, "train", **LIMITS)] == ["a", "b"]


def test_a_list_that_was_never_fetched_is_said(joints):
    (joints / "train.txt").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid")
    problem = check(joints, **LIMITS)[0]
    assert "train.txt' is a Git LFS pointer" in problem.what


def test_what_a_body_hardly_does_is_said_and_used(joints):
    far = walk(9)
    far[0] += [36, 0, 0]
    np.save(joints / "new_joints" / "b.npy", far)
    upside_down = walk(9) * [1, -1, -1]
    np.save(joints / "new_joints" / "c.npy", upside_down.astype(np.float32))
    first, second = check(joints, **LIMITS)
    assert (first.file, first.severity) == ("new_joints/b.npy", "odd")
    assert first.what.startswith("from frame 0 to 1 the body moves 36 m, 720 m/s")
    assert (second.file, second.what) == ("new_joints/c.npy", "the body is upside down")
    assert build(joints, joints.parent / "built", **LIMITS).metadata.skipped == []
