import os

import numpy as np
import pytest

from motiongpt3_jax.data_pipelines.humanml3d import build, clips
from motiongpt3_jax.data_pipelines.records import open_records
from motiongpt3_jax.data_pipelines.statistics import statistics
from motiongpt3_jax.motion import HUMANML3D, features_to_joints, joints_to_features
from tests.data_pipelines.samples import FRAMES, LIMITS, humanml3d, walk


@pytest.fixture
def joints(tmp_path):
    return humanml3d(tmp_path / "joints")


@pytest.fixture
def features(tmp_path):
    return humanml3d(tmp_path / "features", features=True)


def clips_by_id(folder, split="train", **options):
    return {clip.id: clip for clip in clips(folder, split, **{**LIMITS, **options})}


def write_text(folder, name, *lines):
    (folder / "texts" / f"{name}.txt").write_text("\n".join(lines) + "\n")


def test_features_are_handed_on_as_they_are(features):
    for name, clip in clips_by_id(features).items():
        np.testing.assert_array_equal(clip.features, np.load(features / "new_joint_vecs" / f"{name}.npy"))


def test_clips_come_in_the_order_of_the_list(joints):
    (joints / "train.txt").write_text("b\na\n")
    assert list(clips_by_id(joints)) == ["b", "a"]


def test_captions_come_without_tokens_and_times(joints):
    assert clips_by_id(joints)["a"].captions == ("a walks", "it goes")


def test_joints_lose_their_last_frame(joints):
    assert {name: len(clip.features) for name, clip in clips_by_id(joints).items()} == {"a": 12, "b": 9}


def test_joints_take_on_the_body_of_the_first_training_clip(joints):
    target = HUMANML3D.offsets(walk(2, 0.2)[0])
    for clip in [*clips_by_id(joints).values(), *clips_by_id(joints, "test").values()]:
        body = HUMANML3D.offsets(features_to_joints(clip.features)[0])
        np.testing.assert_allclose(body, target, atol=1e-5)


def test_another_recording_may_be_the_target(joints):
    body = HUMANML3D.offsets(features_to_joints(clips_by_id(joints, target="d")["a"].features)[0])
    np.testing.assert_allclose(body, HUMANML3D.offsets(walk(2, 0.26)[0]), atol=1e-5)


def test_given_offsets_are_the_target(joints):
    offsets = HUMANML3D.offsets(walk(2, 0.3)[0])
    expected = joints_to_features(np.load(joints / "new_joints" / "b.npy"), HUMANML3D, offsets)
    np.testing.assert_array_equal(clips_by_id(joints, offsets=offsets)["b"].features, expected)


def test_features_are_preferred_to_joints(joints, features):
    os.rename(joints / "new_joints", features / "new_joints")
    for file in (features / "new_joints").iterdir():
        file.write_text("not read")
    assert len(clips_by_id(features)) == 2


def test_a_part_becomes_a_clip_of_its_own(features):
    write_text(features, "a", "whole#w#0.0#0.0", "part#p#0.1#0.45")
    clip = clips_by_id(features)["a_0.100000_0.450000"]
    assert clip.captions == ("part",)
    np.testing.assert_array_equal(clip.features, np.load(features / "new_joint_vecs" / "a.npy")[2:9])
    assert clips_by_id(features)["a"].captions == ("whole",)


def test_a_part_of_joints_is_cut_out_of_the_whole_clips_features(joints):
    write_text(joints, "a", "whole#w#0#0", "part#p#0.1#0.45")
    np.testing.assert_array_equal(
        clips_by_id(joints)["a_0.100000_0.450000"].features, clips_by_id(joints)["a"].features[2:9]
    )


def test_two_captions_of_one_part_share_a_clip(features):
    write_text(features, "a", "one#p#0.1#0.45", "two#p#0.1#0.45")
    assert clips_by_id(features)["a_0.100000_0.450000"].captions == ("one", "two")
    assert "a" not in clips_by_id(features)


def test_a_part_ends_with_the_recording(features):
    write_text(features, "a", "part#p#0.1#9.0")
    assert len(clips_by_id(features)["a_0.100000_9.000000"].features) == 10


@pytest.mark.parametrize(("least", "most", "names"), [(9, 12, "ab"), (10, 12, "a"), (9, 11, "b"), (13, 20, "")])
def test_both_limits_belong_to_the_range(features, least, most, names):
    assert "".join(clips_by_id(features, min_frames=least, max_frames=most, on_bad="skip")) == names


def test_a_part_that_is_too_short_is_left_out_and_the_whole_is_kept(features):
    write_text(features, "a", "whole#w#0#0", "part#p#0.1#0.2")
    assert list(clips_by_id(features)) == ["a", "b"]


def test_a_part_of_a_recording_that_is_too_long_is_kept(features):
    write_text(features, "a", "whole#w#0#0", "part#p#0.1#0.45")
    assert list(clips_by_id(features, max_frames=9)) == ["a_0.100000_0.450000", "b"]


def test_byte_order_mark_and_windows_lines_are_no_part_of_the_text(joints):
    (joints / "texts" / "a.txt").write_bytes(b"\xef\xbb\xbfgoes#g#0.0#0.0\r\n\r\nr\xc3\xa9v\xc3\xa9rence#r#0.0#0.0\r\n")
    (joints / "train.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\r\n")
    assert clips_by_id(joints)["a"].captions == ("goes", "révérence")


def test_broken_things_stop_by_default(joints):
    (joints / "new_joints" / "b.npy").unlink()
    with pytest.raises(ValueError, match=r"1 problem:\n  new_joints/b.npy: does not exist"):
        clips_by_id(joints)


def test_broken_things_can_be_skipped(joints):
    (joints / "new_joints" / "b.npy").unlink()
    assert list(clips_by_id(joints, on_bad="skip")) == ["a"]


def test_a_broken_line_costs_that_caption_only(joints):
    write_text(joints, "a", "no fields", "goes#g#0#0")
    assert clips_by_id(joints, on_bad="skip")["a"].captions == ("goes",)


def test_an_unknown_split_is_an_error_that_names_the_known(joints):
    with pytest.raises(ValueError, match=r"has no dev.txt; it has lists for train, val, test"):
        clips_by_id(joints, "dev")


def test_an_unusable_target_is_an_error(joints):
    with pytest.raises(ValueError, match=r"target 'nobody' cannot be used: new_joints/nobody.npy: does not exist"):
        clips_by_id(joints, target="nobody")


def test_limits_that_nothing_meets_are_an_error(joints):
    with pytest.raises(ValueError, match="expected 1 <= min_frames <= max_frames"):
        clips_by_id(joints, min_frames=9, max_frames=8)


def test_a_folder_is_built_with_all_its_splits(joints, tmp_path):
    records = build(joints, tmp_path / "built", **LIMITS)
    assert records.metadata.clips == {"train": 2, "val": 1, "test": 1}
    assert records.split("train").lengths == [FRAMES["a"], FRAMES["b"]]
    np.testing.assert_array_equal(records.split("train").source[1].features, clips_by_id(joints)["b"].features)
    np.testing.assert_allclose(records.offsets, HUMANML3D.offsets(walk(2, 0.2)[0]), atol=1e-6)
    assert (records.metadata.source, records.metadata.skipped) == ("humanml3d", [])
    assert records.metadata.options == {
        **LIMITS,
        "on_bad": "stop",
        "target": "a",
        "motions": "new_joints",
    }


def test_statistics_are_measured_on_the_training_split(joints, tmp_path):
    records = build(joints, tmp_path / "built", **LIMITS)
    expected = statistics(clip.features for clip in clips_by_id(joints).values())
    np.testing.assert_array_equal(records.std, expected.std)


def test_mean_and_std_that_belong_to_the_features_are_taken(features, tmp_path):
    np.save(features / "Mean.npy", np.full(263, 0.5))
    np.save(features / "Std.npy", np.full(263, 2.0))
    records = build(features, tmp_path / "built", **LIMITS)
    np.testing.assert_array_equal(records.mean, np.float32(0.5))
    np.testing.assert_array_equal(records.std, np.float32(2))


def test_mean_and_std_of_other_features_are_not_taken(joints, tmp_path):
    np.save(joints / "Mean.npy", np.full(263, 0.5))
    np.save(joints / "Std.npy", np.full(263, 2.0))
    assert (build(joints, tmp_path / "built", **LIMITS).mean != 0.5).any()


def test_offsets_of_features_are_those_of_the_first_training_clip(features, tmp_path):
    records = build(features, tmp_path / "built", **LIMITS)
    np.testing.assert_allclose(records.offsets, HUMANML3D.offsets(walk(2, 0.2)[0]), atol=1e-5)


def test_the_target_is_the_first_clip_that_can_be_used(joints, tmp_path):
    (joints / "new_joints" / "a.npy").unlink()
    records = build(joints, tmp_path / "built", on_bad="skip", **LIMITS)
    np.testing.assert_allclose(records.offsets, HUMANML3D.offsets(walk(2, 0.22)[0]), atol=1e-6)


def test_building_stops_with_the_first_problems_and_their_number(joints, tmp_path):
    (joints / "train.txt").write_text("a\n" + "".join(f"gone{i}\n" for i in range(4)))
    with pytest.raises(ValueError, match=r"(?s)has 8 problems:\n  .*gone0.npy: does not exist.*\.\.\. and 3 more"):
        build(joints, tmp_path / "built", **LIMITS)
    assert not (tmp_path / "built").exists()


def test_what_is_skipped_is_recorded(joints, tmp_path):
    (joints / "new_joints" / "b.npy").unlink()
    write_text(joints, "a", "broken", "goes#g#0#0", "part#p#0#0.1")
    skipped = build(joints, tmp_path / "built", on_bad="skip", **LIMITS).metadata.skipped
    assert [line.split(";")[0] for line in skipped] == [
        "texts/a.txt:1: has 1 fields between '#', not 4",
        "texts/a.txt:3: is about 2 frames",
        "new_joints/b.npy: does not exist",
    ]


def test_a_clip_of_another_length_stops_nothing_and_is_recorded(joints, tmp_path):
    records = build(joints, tmp_path / "built", min_frames=5, max_frames=10)
    assert records.split("train").ids == ["b"]
    assert len(records.metadata.skipped) == 1
    assert records.metadata.skipped[0].startswith("new_joints/a.npy: is 12 frames long; clips have 5 to 10")


def test_a_split_without_a_list_is_left_out(joints, tmp_path):
    (joints / "val.txt").unlink()
    assert build(joints, tmp_path / "built", **LIMITS).splits == ("train", "test")


def test_a_split_without_a_clip_is_left_out_when_skipping(joints, tmp_path):
    (joints / "val.txt").write_text("gone\n")
    assert build(joints, tmp_path / "built", on_bad="skip", **LIMITS).splits == ("train", "test")


def test_without_a_training_clip_nothing_is_built(joints, tmp_path):
    (joints / "train.txt").write_text("gone\n")
    with pytest.raises(ValueError, match="No training clip is left"):
        build(joints, tmp_path / "built", on_bad="skip", **LIMITS)
    assert not (tmp_path / "built").exists()


def test_a_folder_in_use_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="exists already"):
        build(tmp_path / "nowhere", tmp_path)


def test_an_unknown_way_with_broken_things_is_an_error(joints, tmp_path):
    with pytest.raises(ValueError, match="on_bad 'ignore' is not known; choose stop or skip"):
        build(joints, tmp_path / "built", on_bad="ignore")


def test_a_built_folder_opens_again(joints, tmp_path):
    build(joints, tmp_path / "built", **LIMITS)
    assert open_records(tmp_path / "built").split("test").source[0].captions == ("d walks", "it goes")
