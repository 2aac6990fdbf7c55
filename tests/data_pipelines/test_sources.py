import numpy as np
import pytest

from motiongpt3_jax.data_pipelines import procedural
from motiongpt3_jax.data_pipelines.sources import SourceOptions, build_source, overviews
from motiongpt3_jax.motion import HUMANML3D, features_to_joints
from tests.data_pipelines.samples import LIMITS, humanml3d

SMALL = SourceOptions(clips=10, min_frames=40, max_frames=60, sequences=0.0, seed=5)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_source("procedural", tmp_path_factory.mktemp("sources") / "built", SMALL)


def test_procedural_clips_are_shared_out_to_the_splits(built):
    assert built.metadata.clips == {"train": 8, "val": 1, "test": 1}


def test_procedural_clips_keep_their_labels(built):
    clip = built.split("train").source[0]
    assert clip.labels == procedural.generate(0, 5, procedural.Options(41, 61, 0.0)).labels


def test_limits_are_frames_of_features(built):
    lengths = [frames for name in built.splits for frames in built.split(name).lengths]
    assert min(lengths) == 40
    assert max(lengths) <= 60


def test_the_target_body_is_that_of_the_clips(built):
    for clip in built.split("train").source:
        body = HUMANML3D.offsets(features_to_joints(clip.features)[0])
        np.testing.assert_allclose(body, built.offsets, atol=1e-4)


def test_metadata_say_how_procedural_clips_were_made(built):
    options = built.metadata.options
    assert (options["clips"], options["seed"], options["sequences"]) == (10, 5, 0.0)


def test_few_clips_leave_splits_out(tmp_path):
    assert build_source("procedural", tmp_path / "few", SourceOptions(clips=2)).splits == ("train",)


def test_humanml3d_is_built_from_its_folder(tmp_path):
    folder = humanml3d(tmp_path / "raw")
    (folder / "new_joints" / "b.npy").unlink()
    options = SourceOptions(path=str(folder), on_bad="skip", **LIMITS)
    assert build_source("humanml3d", tmp_path / "built", options).split("train").ids == ["a"]


def test_every_source_shows_the_same_of_one_data_set(tmp_path):
    raw = SourceOptions(path=str(humanml3d(tmp_path / "raw")), **LIMITS)
    build_source("humanml3d", tmp_path / "built", raw)
    for ours, theirs in zip(
        overviews("humanml3d", raw, 1), overviews("built", SourceOptions(path=str(tmp_path / "built")), 1)
    ):
        assert (ours.split, ours.lengths, ours.captions) == (theirs.split, theirs.lengths, theirs.captions)
        np.testing.assert_array_equal(ours.examples[0].features, theirs.examples[0].features)


def test_examples_come_from_all_over_a_split(built):
    shown = overviews("procedural", SMALL, 3)[0]
    assert len(shown.lengths) == 8
    expected = [built.split("train").ids[i] for i in (0, 3, 7)]
    assert [clip.id for clip in shown.examples] == expected


def test_no_more_examples_than_clips(built):
    assert [len(shown.examples) for shown in overviews("procedural", SMALL, 2)] == [2, 1, 1]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("kit", SourceOptions(), "source 'kit' is not known; choose one of procedural, procedural_pairs"),
        ("built", SourceOptions(), "source 'built' is not known"),
        ("humanml3d", SourceOptions(), "source 'humanml3d' is read from a folder; give its path"),
        ("procedural", SourceOptions(clips=0), "ask for 1 to 1,000,000"),
        ("procedural", SourceOptions(min_frames=50, max_frames=40), "min_frames <= max_frames"),
    ],
)
def test_what_cannot_be_built_is_an_error_and_leaves_nothing(tmp_path, source, options, message):
    with pytest.raises(ValueError, match=message):
        build_source(source, tmp_path / "built", options)
    assert list(tmp_path.iterdir()) == []
