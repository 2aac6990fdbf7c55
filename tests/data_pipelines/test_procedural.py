import numpy as np
import pytest

from motiongpt3_jax.data_pipelines import procedural
from motiongpt3_jax.evaluation.reader import matches, read_caption
from motiongpt3_jax.motion import HUMANML3D

SHORT = procedural.Options(min_frames=40, max_frames=64)
TOES = [10, 11]


@pytest.fixture(scope="module")
def performances():
    options = [procedural.Options(), SHORT]
    return [procedural.generate(index, seed=7, options=options[index % 2]) for index in range(240)]


def test_a_clip_is_a_function_of_seed_and_index():
    first, again, other = (procedural.generate(11, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.joints, again.joints)
    assert first[1:] == again[1:]
    assert first.joints.shape != other.joints.shape or not np.array_equal(first.joints, other.joints)


def test_planted_toes_stay_where_they_are(performances):
    for joints, captions, _ in performances:
        toes = joints[:, TOES]
        down = (toes[1:, :, 1] < 0.012) & (toes[:-1, :, 1] < 0.012)
        slid = np.linalg.norm(np.diff(toes, axis=0)[..., ::2], axis=-1)[down]
        assert not slid.size or slid.max() < 0.005, captions


def test_nothing_sinks_into_the_floor(performances):
    assert min(joints[..., 1].min() for joints, _, _ in performances) > -0.01


def test_bones_keep_their_lengths(performances):
    lengths = [HUMANML3D.offsets(joints) for joints, _, _ in performances]
    lengths = np.concatenate([np.linalg.norm(offsets, axis=-1) for offsets in lengths])
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[0], lengths.shape), atol=1e-4)


def test_motion_is_smooth(performances):
    assert max(np.abs(np.diff(joints, 2, axis=0)).max() for joints, _, _ in performances) < 0.5


def test_every_motion_begins_at_the_origin_and_faces_ahead(performances):
    for joints, _, _ in performances:
        np.testing.assert_allclose(joints[0, 0, ::2], 0, atol=0.03)
        across = joints[0, 1] - joints[0, 2] + joints[0, 16] - joints[0, 17]
        assert abs(np.arctan2(-across[2], across[0])) < 0.1


def test_captions_name_what_the_labels_say(performances):
    for _, captions, labels in performances:
        assert len(set(captions)) == 3
        for caption in captions:
            reading = read_caption(caption)
            assert matches(reading, labels, exact=True), caption
            for named, action in zip(reading.actions, labels["actions"]):
                assert named.count in (None, action["count"]), caption


def test_no_sentence_of_testing_or_validation_is_in_training():
    sentences = {split: set() for split in procedural.SPLITS}
    for split in procedural.SPLITS:
        for index in procedural.indices(split, 150):
            sentences[split].update(procedural.generate(index, options=SHORT).captions)
    assert not sentences["train"] & (sentences["test"] | sentences["val"])
    assert not sentences["test"] & sentences["val"]


def test_training_never_shows_what_testing_holds_out():
    for index in procedural.indices("train", 200):
        actions = procedural.generate(index).labels["actions"]
        assert not procedural.is_held_out([procedural.Move(**action) for action in actions])


@pytest.mark.parametrize("options", [procedural.Options(), procedural.Options(40, 64), procedural.Options(24, 48)])
def test_training_shows_every_action_direction_and_side(options):
    moves = procedural.possible_moves(options)
    shown = {move.kind for move in moves}
    assert shown == {move.kind for move in moves if not procedural.is_held_out([move], options)}
    assert {name for name, _, _ in shown} == set(procedural.ACTIONS)


def test_clips_are_as_long_as_asked(performances):
    lengths = {len(procedural.generate(index, options=procedural.Options(48, 48)).joints) for index in range(40)}
    assert lengths == {48}
    assert all(40 <= len(joints) <= 64 for joints, _, _ in performances[1::2])


def test_share_and_choice_of_actions_are_respected():
    options = procedural.Options(sequences=0.0, actions=("walk", "wave"))
    actions = [procedural.generate(index, options=options).labels["actions"] for index in range(40)]
    assert {len(each) for each in actions} == {1}
    assert {each[0]["action"] for each in actions} == {"walk", "wave"}


def test_a_split_yields_clips_with_features():
    clips = list(procedural.clips("val", 2, options=SHORT))
    assert [clip.id for clip in clips] == ["procedural_0_000008", "procedural_0_000018"]
    for clip, index in zip(clips, procedural.indices("val", 2)):
        frames = len(procedural.generate(index, options=SHORT).joints)
        assert clip.features.shape == (frames - 1, 263)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"actions": ("fly",)}, "fly.*not known"),
        ({"min_frames": 60, "max_frames": 40}, "min_frames <= max_frames"),
        ({"actions": ("crouch-walk",), "min_frames": 24, "max_frames": 25}, "no action"),
    ],
)
def test_options_that_leave_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        procedural.generate(0, options=procedural.Options(**options))


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="'dev' is not known"):
        next(procedural.clips("dev"))
