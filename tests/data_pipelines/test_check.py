import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from motiongpt3_jax.data_pipelines.check import check
from motiongpt3_jax.data_pipelines.humanml3d import build
from tests.data_pipelines.samples import LIMITS, humanml3d, walk


@pytest.fixture
def joints(tmp_path):
    return humanml3d(tmp_path / "joints")


@pytest.fixture
def features(tmp_path):
    return humanml3d(tmp_path / "features", features=True)


@pytest.fixture
def built(joints, tmp_path):
    return build(joints, tmp_path / "built", **LIMITS).folder


def save(folder: Path, array, name: str = "b", motions: str = "new_joints"):
    np.save(folder / motions / f"{name}.npy", array)


def write_text(folder: Path, content: bytes, name: str = "b"):
    (folder / "texts" / f"{name}.txt").write_bytes(content)


def one(folder: Path, **limits):
    """The only problem of a folder."""
    problems = check(folder, **{**LIMITS, **limits})
    assert len(problems) == 1, [str(problem) for problem in problems]
    assert problems[0].advice
    return problems[0]


def test_sound_folders_have_no_problems(joints, features, built):
    assert check(joints, **LIMITS) == check(features, **LIMITS) == check(built) == []


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (walk(9)[:, :21], r"has shape \(9, 21, 3\); expected \(frames, 22, 3\)"),
        (walk(9).reshape(9, 66), r"has shape \(9, 66\); expected \(frames, 22, 3\)"),
        (walk(9)[None], r"has shape \(1, 9, 22, 3\)"),
        (walk(9)[:0], r"is empty: its shape is \(0, 22, 3\)"),
        (walk(1), "has a single frame"),
        (walk(9).astype(int), "holds int64 values"),
        (
            walk(9) * np.where(np.arange(9) == 4, np.nan, 1)[:, None, None],
            r"66 values .* the first at index \(4, 0, 0\)",
        ),
        (np.full((9, 22, 3), np.inf), "not finite"),
        (walk(9).astype(np.float64) * 1e300, "not finite"),
        (walk(9) * 1000, "has legs of 400 m"),
        (walk(9)[:, [0, 0, *range(2, 22)]], r"has no bone to joint 1 \(left_hip\) in frame 0"),
        (np.array([{"code": 1}]), "holds pickled Python objects, which could run code"),
    ],
)
def test_a_broken_motion_is_found(joints, array, what):
    save(joints, array)
    problem = one(joints)
    assert (problem.file, problem.line, problem.severity) == ("new_joints/b.npy", None, "bad")
    assert re.search(what, problem.what), problem.what


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.zeros((9, 251), np.float32), "(9, 251); expected (frames, 263)"),
        (np.zeros((263, 9), np.float32), "(263, 9); expected (frames, 263)"),
        (walk(9), "(9, 22, 3); expected (frames, 263)"),
        (np.full((9, 263), np.nan), "not finite"),
    ],
)
def test_broken_features_are_found(features, array, what):
    save(features, array, motions="new_joint_vecs")
    assert one(features).file == "new_joint_vecs/b.npy"
    assert what in one(features).what


def test_joints_of_full_smpl_are_recognised(joints):
    save(joints, np.zeros((9, 24, 3), np.float32))
    assert "full SMPL: drop the two hands" in one(joints).advice


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is not a readable .npy file (it is empty)"),
        (b"not numpy", "is no .npy file: it begins with b'not nump'"),
        (b"PK\x03\x04 an archive", "is a .npz archive under the name .npy"),
    ],
)
def test_a_file_of_another_kind_is_found(joints, content, what):
    (joints / "new_joints" / "b.npy").write_bytes(content)
    assert one(joints).what == what


def test_a_file_that_breaks_off_is_found(joints):
    file = joints / "new_joints" / "b.npy"
    file.write_bytes(file.read_bytes()[:-100])
    assert one(joints).what.startswith("breaks off")


def test_names_without_motion_or_text_are_found(joints):
    save(joints, walk(9), "e")
    (joints / "new_joints" / "b.npy").unlink()
    (joints / "train.txt").write_text("a\nb\ne\n")
    assert [(p.file, p.what) for p in check(joints, **LIMITS)] == [
        ("new_joints/b.npy", "does not exist"),
        ("texts/e.txt", "does not exist"),
    ]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"goes", "has 1 fields between '#', not 4"),
        (b"goes#t#0.0", "has 3 fields"),
        (b"goes#t#0.0#0.0#0.0", "has 5 fields"),
        (b"#t#0.0#0.0", "has an empty caption"),
        (b"goes#t#start#0.0", "has times 'start' and '0.0', which are not numbers"),
        (b"goes#t#2.0#1.0", "is about 2 to 1 s"),
        (b"goes#t#1.0#1.0", "is about 1 to 1 s"),
        (b"goes#t#-1.0#1.0", "is about -1 to 1 s"),
        (b"goes#t#0.0#inf", "is about 0 to inf s"),
        (b"goes#t#5.0#6.0", "is about 5 to 6 s of a recording of 0.45 s"),
        (b"g\xf6es#t#0.0#0.0", "is not UTF-8 at byte 1"),
    ],
)
def test_a_broken_line_is_found_where_it_is(joints, line, what):
    write_text(joints, b"sound#t#0.0#0.0\n" + line + b"\n")
    problem = one(joints)
    assert (problem.file, problem.line, problem.severity) == ("texts/b.txt", 2, "bad")
    assert problem.what.startswith(what)


def test_a_text_without_captions_is_found(joints):
    write_text(joints, b"\n")
    assert (one(joints).file, one(joints).what) == ("texts/b.txt", "is empty")


def test_a_text_whose_captions_are_all_broken_is_found(joints):
    write_text(joints, b"goes\n")
    assert [problem.what for problem in check(joints, **LIMITS)][-1] == "has no caption left"


@pytest.mark.parametrize(("limits", "frames"), [({"min_frames": 9}, 8), ({"max_frames": 11}, 12)])
def test_a_clip_of_another_length_is_a_note(joints, limits, frames):
    shutil.copy(joints / "new_joints" / "b.npy", joints / "new_joints" / "c.npy")
    (joints / "test.txt").write_text("d\nb\n" if frames == 12 else "d\na\n")
    notes = [p for p in check(joints, **{**LIMITS, **limits}) if "frames long" in p.what]
    assert [(p.what, p.severity) for p in notes] == [(f"is {frames} frames long", "note")]


def test_a_part_that_is_too_short_is_a_note(joints):
    write_text(joints, b"whole#t#0.0#0.0\npart#t#0.0#0.2\n")
    problem = one(joints)
    assert (problem.line, problem.what, problem.severity) == (2, "is about 4 frames", "note")


def test_a_missing_folder_is_a_problem(tmp_path):
    problem = one(tmp_path / "nowhere")
    assert problem.file == "."
    assert "there is no folder" in problem.what


@pytest.mark.parametrize(
    ("missing", "what"),
    [("new_joints", "no new_joint_vecs/ or new_joints/"), ("texts", "no texts/"), ("train.txt", "no train.txt")],
)
def test_a_folder_without_a_part_is_a_problem(joints, missing, what):
    path = joints / missing
    path.unlink() if path.is_file() else shutil.rmtree(path)
    assert what in one(joints).what


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_empty_split_is_found(joints, split):
    (joints / f"{split}.txt").write_text("\n")
    problem = one(joints)
    assert (problem.file, problem.what, problem.severity) == (f"{split}.txt", "gives no clip", "bad")


def test_a_missing_list_is_a_note(joints):
    (joints / "val.txt").unlink()
    assert (one(joints).file, one(joints).severity) == ("val.txt", "note")


def test_a_name_listed_twice_is_a_note(joints):
    (joints / "train.txt").write_text("a\nb\na\n")
    problem = one(joints)
    assert (problem.line, problem.what, problem.severity) == (3, "lists 'a' again", "note")


def test_a_name_of_two_splits_is_a_note(joints):
    (joints / "test.txt").write_text("d\na\n")
    problem = one(joints)
    assert (problem.line, problem.what, problem.severity) == (2, "lists 'a', which train.txt has too", "note")


def test_a_list_in_another_encoding_is_found(joints):
    (joints / "val.txt").write_bytes(b"c\n\xf6\n")
    assert ("val.txt", 2, "is not UTF-8") in [(p.file, p.line, p.what) for p in check(joints, **LIMITS)]


def test_bodies_that_lie_are_found(joints):
    for file in (joints / "new_joints").iterdir():
        np.save(file, np.load(file)[..., [0, 2, 1]])
    problems = check(joints, **LIMITS)
    assert ["y must be up" in problem.advice for problem in problems if problem.bad] == [True]
    assert sum(problem.what == "the body lies or hangs" for problem in problems if not problem.bad) == 4


@pytest.mark.parametrize(
    ("mean", "std", "file", "what"),
    [
        (np.zeros(262), np.ones(263), "Mean.npy", "has shape (262,); expected (263,)"),
        (np.zeros(263), np.ones((1, 263)), "Std.npy", "has shape (1, 263); expected (263,)"),
        (np.zeros(263), np.eye(263)[5], "Std.npy", "has 262 deviations that are not positive, the first at 0"),
        (np.full(263, np.nan), np.ones(263), "Mean.npy", "has 263 values that are not finite"),
        (None, np.ones(263), "Mean.npy", "does not exist"),
        (np.zeros(263), None, "Std.npy", "does not exist"),
    ],
)
def test_broken_statistics_are_found(features, mean, std, file, what):
    for name, array in (("Mean.npy", mean), ("Std.npy", std)):
        if array is not None:
            np.save(features / name, array)
    problem = one(features)
    assert problem.file == file
    assert problem.what.startswith(what)


def test_statistics_of_other_features_do_not_matter(joints):
    np.save(joints / "Mean.npy", np.zeros(3))
    assert check(joints, **LIMITS) == []


@pytest.mark.parametrize("file", ["statistics.npz", "index_val.json"])
def test_a_built_folder_with_a_damaged_file_is_found(built, file):
    (built / file).write_bytes(b"")
    assert file in one(built).what


@pytest.mark.parametrize(
    "pattern", ["metadata.json", "statistics.npz", "index_train.json", "**/*-val.array_record*", "**/features.json"]
)
def test_a_built_folder_with_a_file_that_was_never_fetched_is_found(built, pattern):
    (file,) = built.glob(pattern)
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 3\n")
    problem = check(built)[0]
    assert f"{file.name}' is a Git LFS pointer" in problem.what
    assert "git lfs pull" in problem.advice


def test_records_that_do_not_fit_their_index_are_found(built):
    content = (built / "index_train.json").read_text()
    (built / "index_train.json").write_text(content.replace('"a walks"', '"a runs"'))
    assert one(built).what.startswith("says clip 'a' of 12 frames")


def test_damaged_records_are_found(built):
    for file in (built / "captioned_motions").rglob("*-val.array_record*"):
        file.write_bytes(b"nothing")
    assert one(built).file == "split 'val'"
    assert "cannot be read" in one(built).what


def test_built_statistics_that_divide_by_zero_are_found(built):
    with np.load(built / "statistics.npz") as arrays:
        arrays = {**arrays, "std": np.zeros(263, np.float32)}
    np.savez(built / "statistics.npz", **arrays)
    assert one(built).what.endswith("statistics.npz' is damaged ('std' has values that are not positive)")


def test_a_problem_reads_as_a_sentence_with_its_place(joints):
    write_text(joints, b"sound#t#0.0#0.0\ngoes\n")
    assert str(one(joints)) == (
        "texts/b.txt:2: has 1 fields between '#', not 4; write caption#tokens#start#end, "
        "with 0.0#0.0 for the whole recording"
    )
