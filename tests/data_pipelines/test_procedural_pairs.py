import numpy as np
import pytest

from motiongpt3_jax.data_pipelines import procedural, procedural_pairs
from motiongpt3_jax.data_pipelines.clip import PLACE
from motiongpt3_jax.data_pipelines.pairs import clip_motion
from motiongpt3_jax.data_pipelines.procedural_pairs import SCENES
from motiongpt3_jax.evaluation.reader import pair_matches, read_pair_caption
from motiongpt3_jax.evaluation.reader.pairs import measure_pair
from motiongpt3_jax.motion import HUMANML3D
from motiongpt3_jax.text.exchange_persons import exchange_caption

SHORT = procedural_pairs.Options(min_frames=40, max_frames=96)
TOES = [10, 11]


@pytest.fixture(scope="module")
def performances():
    options = [procedural_pairs.Options(), SHORT]
    return [procedural_pairs.generate(index, seed=7, options=options[index % 2]) for index in range(80)]


def shows(performances, action):
    found = [each for each in performances if each.labels["actions"][0]["action"] == action]
    assert found
    return found


def test_a_clip_is_a_function_of_seed_and_index():
    first, again, other = (procedural_pairs.generate(11, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.joints, again.joints)
    assert first[1:] == again[1:]
    assert first.joints.shape != other.joints.shape or not np.array_equal(first.joints, other.joints)


def test_planted_toes_stay_where_they_are(performances):
    for joints, captions, _ in performances:
        toes = joints[:, :, TOES]
        down = (toes[:, 1:, :, 1] < 0.003) & (toes[:, :-1, :, 1] < 0.003)  # the lowest one is at 0
        slid = np.linalg.norm(np.diff(toes, axis=1)[..., ::2], axis=-1)[down]
        assert slid.max() < 0.003, captions


def test_bodies_are_sound(performances):
    lengths = np.linalg.norm(HUMANML3D.offsets(performances[0].joints[0, 0]), axis=-1)
    for joints, captions, _ in performances:
        assert joints[..., 1].min() > -0.01, captions
        assert np.abs(np.diff(joints, 2, axis=1)).max() < 0.5, captions
        bones = np.linalg.norm(HUMANML3D.offsets(joints), axis=-1)
        np.testing.assert_allclose(bones, np.broadcast_to(lengths, bones.shape), atol=1e-4)


def test_nobody_walks_through_the_other(performances):
    for joints, captions, _ in performances:
        apart = np.linalg.norm(joints[0, :, 0, ::2] - joints[1, :, 0, ::2], axis=-1)
        assert apart.min() > 0.5, captions


def test_the_first_person_begins_at_the_origin_and_faces_ahead(performances):
    for joints, _, _ in performances:
        np.testing.assert_allclose(joints[0, 0, 0, ::2], 0, atol=1e-5)
        across = joints[0, 0, 1] - joints[0, 0, 2] + joints[0, 0, 16] - joints[0, 0, 17]
        assert abs(np.arctan2(-across[2], across[0])) < 1e-4


@pytest.mark.parametrize("action", ["shake-hands", "high-five", "hand-over"])
def test_hands_meet(performances, action):
    for joints, captions, labels in shows(performances, action):
        wrists = joints[:, :, [20, 21]]
        gaps = np.linalg.norm(wrists[0][:, :, None] - wrists[1][:, None], axis=-1)
        closest, side = gaps.min(axis=0), labels["actions"][0]["side"]
        assert closest.min() < 0.08, captions
        if side == "both":
            assert max(closest[0, 1], closest[1, 0]) < 0.08, captions
        if action == "shake-hands":
            assert (gaps.min(axis=(1, 2)) < 0.08).sum() > 10, captions


def test_hands_touch_the_chest_that_they_push_and_it_gives_way(performances):
    for joints, captions, labels in shows(performances, "push"):
        pusher = 0 if labels["actions"][0]["who"] == "first" else 1
        assert measure_pair(joints).touch[pusher].min() < 0.13, captions
        away = joints[1 - pusher, -1, 0] - joints[1 - pusher, 0, 0]
        line = joints[1 - pusher, 0, 0] - joints[pusher, 0, 0]
        assert away @ line / np.linalg.norm(line) > 0.25, captions


def test_clips_are_as_long_as_asked(performances):
    assert all(40 <= each.joints.shape[1] <= 96 for each in performances[1::2])
    assert all(40 <= each.joints.shape[1] <= 196 for each in performances[::2])


def test_captions_name_what_the_labels_say(performances):
    for _, captions, labels in performances:
        assert len(set(captions)) == 3
        for caption in captions:
            assert pair_matches(read_pair_caption(caption), labels), (caption, labels, read_pair_caption(caption))


def test_captions_of_the_other_order_name_the_other_person(performances):
    other = {"first": "second", "second": "first", "both": "both"}
    for _, captions, labels in performances:
        exchanged = {"actions": [{**labels["actions"][0], "who": other[labels["actions"][0]["who"]]}]}
        for caption in captions:
            assert pair_matches(read_pair_caption(exchange_caption(caption)), exchanged), caption
            assert exchange_caption(exchange_caption(caption)) == caption


def test_every_action_and_split_has_sentences_and_none_is_shared():
    sentences = {split: set() for split in procedural.SPLITS}
    for split in procedural.SPLITS:
        for index in procedural.indices(split, 20):
            sentences[split].update(procedural_pairs.generate(index, options=SHORT).captions)
    assert not sentences["train"] & (sentences["test"] | sentences["val"])


@pytest.mark.parametrize("options", [procedural_pairs.Options(), SHORT])
def test_training_shows_every_kind(options):
    possible = procedural_pairs.possible_interactions(options)
    shown = {do.kind for do in possible}
    assert shown == {do.kind for do in possible if not procedural_pairs.is_held_out(do, options)}
    assert {do.action for do in possible} == set(SCENES)


def test_a_split_yields_clips_of_two_with_their_place():
    for clip, index in zip(procedural_pairs.clips("val", 2, options=SHORT), procedural.indices("val", 2)):
        joints = procedural_pairs.generate(index, options=SHORT).joints
        assert clip.id == f"procedural_pairs_0_{index:06d}"
        assert [person.shape for person in clip.persons] == [(joints.shape[1] - 1, 263)] * 2
        np.testing.assert_allclose(clip.numbers[PLACE][1:3], joints[1, 0, 0, ::2], atol=1e-3)
        np.testing.assert_allclose(clip_motion(clip).joints, joints[:, :-1], atol=5e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"actions": ("fly",)}, "fly.*not known"),
        ({"min_frames": 60, "max_frames": 40}, "min_frames <= max_frames"),
        ({"actions": ("pass-by",), "min_frames": 24, "max_frames": 30}, "no interaction"),
    ],
)
def test_options_that_leave_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        procedural_pairs.generate(0, options=procedural_pairs.Options(**options))


@pytest.mark.parametrize("source", [procedural, procedural_pairs])
def test_sentences_without_motions_are_those_of_training(source):
    sentences = list(source.sentences(20))
    assert sentences == list(source.sentences(20)) != list(source.sentences(20, seed=1))
    assert len(sentences) == 20 * len(source.generate(0).captions)
    assert {procedural.split_of_sentence(sentence) for sentence in sentences} == {"train"}
