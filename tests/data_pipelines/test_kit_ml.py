"""KIT-ML: 21 joints at 12.5 frames a second, in millimetres, with no HumanML3D anywhere."""

import shutil

import numpy as np
import pytest

from motiongpt3_jax.data_pipelines.check import check
from motiongpt3_jax.data_pipelines.humanml3d import KIT_ML, clips
from motiongpt3_jax.data_pipelines.sources import SourceOptions, build_source, overviews
from motiongpt3_jax.motion import KIT, features_to_joints
from motiongpt3_jax.motion.features import length_columns
from motiongpt3_jax.motion.lfs import POINTERS
from tests.data_pipelines.kit_ml_folder import kit_ml, kit_motion
from tests.data_pipelines.samples import humanml3d


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Folders of joints and of features, which no test changes."""
    place = tmp_path_factory.mktemp("kit_ml")
    return {"joints": kit_ml(place / "joints"), "features": kit_ml(place / "features", features=True)}


@pytest.fixture
def joints(sound, tmp_path):
    return shutil.copytree(sound["joints"], tmp_path / "joints")


@pytest.fixture
def features(sound, tmp_path):
    return shutil.copytree(sound["features"], tmp_path / "features")


def build(folder, out, **options):
    return build_source("kit_ml", out, SourceOptions(path=str(folder), **options))


def problems(folder):
    return [(problem.file, problem.line, problem.what) for problem in check(folder, dataset=KIT_ML)]


def test_features_and_their_statistics_are_handed_on_as_they_are(sound, tmp_path):
    folder = sound["features"]
    built = build(folder, tmp_path / "built")
    clip = built.split("train").source[1]
    np.testing.assert_array_equal(clip.features, np.load(folder / "new_joint_vecs" / "00002.npy"))
    np.testing.assert_array_equal(built.mean, np.load(folder / "Mean.npy"))
    np.testing.assert_array_equal(built.std, np.load(folder / "Std.npy"))
    assert (built.skeleton, built.fps, built.metadata.features) == (KIT, 12.5, 251)
    assert built.metadata.source == "kit_ml"


@pytest.mark.parametrize("kind", ["joints", "features"])
def test_bodies_come_out_in_metres(sound, tmp_path, kind):
    built = build(sound[kind], tmp_path / "built")
    target = KIT.offsets(kit_motion(0).joints[0, 0])
    np.testing.assert_allclose(built.offsets, target, atol=1e-4)
    for clip in built.split("train").source:
        np.testing.assert_allclose(KIT.offsets(features_to_joints(clip.features, KIT)[0]), target, atol=1e-3)


@pytest.mark.parametrize("features", [False, True], ids=["joints", "features"])
def test_the_millimetres_of_people_are_told_from_those_of_the_model_body(sound, tmp_path, features):
    usual = build(sound["features" if features else "joints"], tmp_path / "usual")
    built = build(kit_ml(tmp_path / "raw", features, unit=0.001), tmp_path / "built")
    np.testing.assert_allclose(built.offsets, usual.offsets, atol=1e-4)
    np.testing.assert_allclose(built.mean, usual.mean, rtol=1e-4, atol=0.05)
    np.testing.assert_allclose(built.std, usual.std, rtol=1e-4)
    for ours, theirs in zip(built.split("train").source, usual.split("train").source):
        lengths = length_columns(KIT)
        np.testing.assert_allclose(ours.features[:, lengths], theirs.features[:, lengths], rtol=1e-3, atol=0.1)


def test_a_clip_has_24_frames_or_more_unless_somebody_says_otherwise(joints, tmp_path):
    array = np.load(joints / "new_joints" / "00001.npy")
    np.save(joints / "new_joints" / "00001.npy", array[:24])
    np.save(joints / "new_joints" / "00002.npy", array[:25])
    assert [problem.what for problem in check(joints, dataset=KIT_ML)] == ["is 23 frames long"]
    lengths = build(joints, tmp_path / "built").split("train").lengths
    assert min(lengths) == 24
    assert min(build(joints, tmp_path / "shorter", min_frames=20).split("train").lengths) == 23


def test_tags_are_cut_at_12_and_a_half_frames_a_second(features):
    (features / "texts" / "00001.txt").write_text("whole#w#0.0#0.0\npart#p#0.4#1.6\n")
    whole, part = list(clips(features, "train", dataset=KIT_ML, min_frames=10))[:2]
    assert (part.id, part.captions) == ("00001_0.400000_1.600000", ("part",))
    np.testing.assert_array_equal(part.features, whole.features[5:20])


def test_every_split_is_shown_with_its_own_skeleton(sound):
    shown = overviews("kit_ml", SourceOptions(path=str(sound["joints"])), examples=1)
    assert [(overview.split, len(overview.lengths), overview.skeleton) for overview in shown] == [
        ("train", 3, KIT),
        ("val", 1, KIT),
        ("test", 1, KIT),
    ]
    assert shown[0].examples[0].features.shape[1] == 251


@pytest.mark.parametrize("kind", ["joints", "features"])
def test_a_sound_folder_has_no_problems(sound, kind):
    assert problems(sound[kind]) == []


def test_metres_are_refused_where_millimetres_are_expected(tmp_path):
    (problem, *_) = check(kit_ml(tmp_path / "metres", unit=1.0), dataset=KIT_ML)
    assert problem.what.startswith("has legs of 0.8")
    assert problem.what.endswith(" mm")
    assert problem.advice == "give joints in millimetres: 525 mm are a grown-up's legs"


def test_a_motion_of_22_joints_is_refused(joints):
    np.save(joints / "new_joints" / "00003.npy", np.zeros((40, 22, 3), np.float32))
    (problem,) = check(joints, dataset=KIT_ML)
    assert problem.what == "has shape (40, 22, 3); expected (frames, 21, 3)"
    assert problem.advice == "it is a motion of HumanML3D, whose folders have the source humanml3d"


def test_a_folder_of_another_data_set_is_refused_with_its_source(sound, tmp_path):
    with pytest.raises(ValueError, match=r"holds motions of KIT-ML, .* its source is kit_ml, not humanml3d"):
        build_source("humanml3d", tmp_path / "a", SourceOptions(path=str(sound["features"])))
    with pytest.raises(ValueError, match=r"holds motions of HumanML3D, .* its source is humanml3d, not kit_ml"):
        build(humanml3d(tmp_path / "raw"), tmp_path / "b")
    assert not (tmp_path / "a").exists()


def test_one_of_mean_and_std_alone_is_refused(features):
    (features / "Mean.npy").unlink()
    (problem,) = check(features, dataset=KIT_ML)
    assert (problem.file, problem.what) == ("Mean.npy", "does not exist")
    assert problem.advice == "add the file, or remove Mean.npy and Std.npy to have them measured"


def test_statistics_of_other_features_are_refused(features):
    np.save(features / "Std.npy", np.ones(263, np.float32))
    assert problems(features) == [("Std.npy", None, "has shape (263,); expected (251,)")]


def test_without_mean_and_std_they_are_measured(features, tmp_path):
    expected = np.load(features / "Std.npy")
    for name in ("Mean.npy", "Std.npy"):
        (features / name).unlink()
    np.testing.assert_allclose(build(features, tmp_path / "built").std, expected, rtol=1e-5)


def test_a_tag_beyond_the_clip_is_refused_in_its_own_seconds(features):
    frames = len(np.load(features / "new_joint_vecs" / "00002.npy"))
    (features / "texts" / "00002.txt").write_text("whole#w#0.0#0.0\npart#p#7.0#9.0\n")
    what = f"is about 7 to 9 s of a recording of {frames / 12.5:g} s"
    assert problems(features) == [("texts/00002.txt", 2, what)]


def test_an_empty_split_is_refused(joints):
    (joints / "val.txt").write_text("\n")
    assert problems(joints) == [("val.txt", None, "gives no clip")]


@pytest.mark.parametrize("file", ["new_joint_vecs/00001.npy", "texts/00001.txt", "Mean.npy", "train.txt"])
def test_a_git_lfs_pointer_is_refused(features, file):
    (features / file).write_bytes(POINTERS[0] + b"v1\noid sha256:0\nsize 9\n")
    found = problems(features)
    assert any("is a Git LFS pointer" in what for _, _, what in found), found
