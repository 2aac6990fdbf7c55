import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from motiongpt3_jax.data_pipelines.check import check_interhuman
from motiongpt3_jax.data_pipelines.clip import PLACE
from motiongpt3_jax.data_pipelines.interhuman import build, clips, open_folder
from motiongpt3_jax.data_pipelines.interhuman.folder import read_pair
from motiongpt3_jax.data_pipelines.interhuman.pickles import load_arrays
from motiongpt3_jax.data_pipelines.pairs import clip_motion
from motiongpt3_jax.motion import HUMANML3D, canonicalise_pair, mirror, resample_motion
from motiongpt3_jax.motion.pairs import mirror_place
from tests.data_pipelines.interhuman_folder import NAMES, TEXTS, interhuman, pair_motion, pickled


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return interhuman(tmp_path_factory.mktemp("interhuman") / "raw")


@pytest.fixture
def folder(sound, tmp_path):
    return Path(shutil.copytree(sound, tmp_path / "raw"))


@pytest.fixture(scope="module")
def built(sound, tmp_path_factory):
    return build(sound, tmp_path_factory.mktemp("interhuman") / "built")


def test_a_folder_is_built_with_both_people_and_their_place(built):
    assert built.metadata.clips == {"train": 4, "val": 1, "test": 1}
    assert built.fps == 20
    split = built.split("val")
    clip, (persons, numbers) = split.source[0], split.extras[0]
    assert (clip.id, len(clip.persons), persons) == ("3", 2, 2)
    assert numbers == clip.numbers
    expected = canonicalise_pair(resample_motion(pair_motion(2), 20).joints, offsets=built.offsets)
    np.testing.assert_allclose(clip.numbers[PLACE][:3], expected.place, atol=2e-4)
    np.testing.assert_allclose(clip_motion(clip).joints[0], expected.joints[0, :-1], atol=1e-3)


def test_a_clip_is_what_the_folder_shows_in_one_world(sound):
    for clip in clips(sound, "test"):
        joints = resample_motion(pair_motion(3), 20).joints
        apart = np.linalg.norm(joints[0, :-1, 0] - joints[1, :-1, 0], axis=-1)
        shown = clip_motion(clip).joints
        np.testing.assert_allclose(np.linalg.norm(shown[0, :, 0] - shown[1, :, 0], axis=-1), apart, atol=5e-3)
        assert len(clip.numbers[PLACE]) == 3 * (1 + (len(clip.features) - 1) // 20)


def test_training_clips_have_mirror_images_with_mirrored_captions(sound):
    plain, other = list(clips(sound, "train"))[:2]
    assert (plain.id, other.id) == ("1", "1_mirrored")
    assert other.captions == ("one person walks right", "the other turns clockwise")
    np.testing.assert_allclose(other.numbers[PLACE][:3], mirror_place(plain.numbers[PLACE][:3]), atol=2e-4)
    ours, theirs = clip_motion(other).joints, mirror(clip_motion(plain).joints)
    np.testing.assert_allclose(ours, theirs, atol=0.03)
    assert [clip.id for clip in clips(sound, "train", mirrored=False)] == list(NAMES["train"])


def test_long_recordings_become_several_clips_that_cover_them(sound):
    whole = next(clips(sound, "val"))
    frames = len(whole.features)
    parts = list(clips(sound, "val", max_frames=25))
    assert {len(part.features) for part in parts} == {25}
    starts = [round(float(part.id.split("_")[1]) * 20) for part in parts]
    assert (starts[0], starts[-1] + 25) == (0, frames)
    assert {part.captions for part in parts} == {TEXTS}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return interhuman(tmp_path_factory.mktemp("interhuman") / "rotations", raw=True)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickled_rotations_pose_a_body_without_running_anything(raw, protocol):
    motion = pair_motion(0)
    (raw / "motions" / "1.pkl").write_bytes(pickled(motion, protocol))
    joints, problems = read_pair(open_folder(raw), "1")
    assert not problems
    ours = resample_motion(motion, 20).joints
    assert joints.shape == ours.shape
    # Another body, and of it the pelvis a little beside `trans`.
    assert np.linalg.norm(joints - ours, axis=-1).mean() < 0.35
    steps = [np.diff(each[:, :, 0], axis=1) for each in (joints, ours)]
    np.testing.assert_allclose(*steps, atol=5e-3)


class Command:
    def __reduce__(self):
        return (print, ("it ran",))


def test_a_pickle_that_would_run_something_runs_nothing(raw, capsys):
    (raw / "motions" / "1.pkl").write_bytes(pickle.dumps({"person1": Command(), "person2": Command()}))
    joints, (problem,) = read_pair(open_folder(raw), "1")
    assert joints is None
    assert "has no root_orient" in str(problem)
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="not a dictionary"):
        load_arrays(pickle.dumps([1, 2]))


DAMAGES = {
    "motions_processed/person2/1.npy: does not exist": lambda root: (
        root / "motions_processed" / "person2" / "1.npy"
    ).unlink(),
    "motions_processed/person1/1.npy: has shape": lambda root: np.save(
        root / "motions_processed" / "person1" / "1.npy", np.ones((9, 22, 3))
    ),
    "motions_processed/person2/1.npy: has 9 frames": lambda root: np.save(
        root / "motions_processed" / "person2" / "1.npy", np.ones((9, 492))
    ),
    "motions_processed/person1/1.npy: is empty": lambda root: np.save(
        root / "motions_processed" / "person1" / "1.npy", np.ones((0, 492))
    ),
    "annots/1.txt: does not exist": lambda root: (root / "annots" / "1.txt").unlink(),
    "annots/1.txt:1: is not UTF-8": lambda root: (root / "annots" / "1.txt").write_bytes(b"\xff\nfine\n"),
    "annots/1.txt: has no caption": lambda root: (root / "annots" / "1.txt").write_text("\n"),
    "split/train.txt:1: lists '../1'": lambda root: (root / "split" / "train.txt").write_text("../1\n2\n"),
}


@pytest.mark.parametrize("said", DAMAGES)
def test_what_is_broken_is_named(folder, said):
    DAMAGES[said](folder)
    assert any(str(problem).startswith(said) and problem.bad for problem in check_interhuman(folder))


def test_what_is_broken_stops_a_build_or_is_left_out(folder, tmp_path):
    said = "annots/1.txt: does not exist"
    DAMAGES[said](folder)
    with pytest.raises(ValueError, match="Repair them, or leave them out"):
        build(folder, tmp_path / "built")
    assert not (tmp_path / "built").exists()
    built = build(folder, tmp_path / "built", on_bad="skip")
    assert any(skipped.startswith(said) for skipped in built.metadata.skipped)


def test_a_sound_folder_has_no_problems(sound, built):
    assert check_interhuman(sound) == []
    assert check_interhuman(built.folder) == []


def test_names_may_be_left_out_by_a_list_and_lists_lie_beside_the_folders(folder):
    (folder / "ignore_list.txt").write_text("2\n")
    for file in (folder / "split").iterdir():
        file.rename(folder / file.name)
    assert [clip.id for clip in clips(folder, "train", mirrored=False)] == ["1"]
    assert "ignore_list.txt has" in str(check_interhuman(folder)[0])


def test_other_folders_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        open_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no InterHuman folder: it has no motions_processed/ or motions/"):
        open_folder(tmp_path)


def test_both_people_take_on_one_body(built):
    for clip in built.split("train").source:
        for joints in clip_motion(clip).joints:
            np.testing.assert_allclose(HUMANML3D.offsets(joints[0]), built.offsets, atol=1e-3)
