import numpy as np
import pytest

from motiongpt3_jax.data_pipelines import procedural
from motiongpt3_jax.evaluation.reader import ActionSegment, Reading, matches, read, read_caption
from motiongpt3_jax.evaluation.reader.signals import smooth
from motiongpt3_jax.motion import HUMANML3D

LENGTHS = [procedural.Options(), procedural.Options(40, 64), procedural.Options(48, 48)]
WALK_THEN_WAVE = {
    "actions": [
        {"action": "walk", "direction": "forward", "side": None},
        {"action": "wave", "direction": None, "side": "right"},
    ]
}
WALK, WAVE = ActionSegment("walk", "forward"), ActionSegment("wave", None, "right")


@pytest.fixture(scope="module")
def performances():
    return [procedural.generate(index, seed=9, options=LENGTHS[index % 3]) for index in range(300)]


def share_read_right(performances, change):
    right = [matches(read(change(joints)), labels, exact=True) for joints, _, labels in performances]
    return np.mean(right)


def noise(shape):
    jitter = smooth(np.random.default_rng(0).normal(size=shape), 1.5)
    return 0.02 * jitter / jitter.std()


def turned_and_moved(joints):
    cos, sin = np.cos(2.0), np.sin(2.0)
    return joints @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]) + [3.0, 0.2, -5.0]


@pytest.mark.parametrize(
    ("change", "at_least"),
    [
        (lambda joints: joints, 0.98),
        (turned_and_moved, 0.98),
        (lambda joints: 0.8 * joints, 0.95),
        (lambda joints: joints + noise(joints.shape), 0.95),
        (lambda joints: smooth(joints, 2.0), 0.95),
    ],
    ids=["as made", "elsewhere", "smaller body", "jittery", "smoothed"],
)
def test_motions_are_read_right(performances, change, at_least):
    assert share_read_right(performances, change) >= at_least


def test_a_mirrored_motion_is_read_with_the_other_side():
    joints = procedural.perform([procedural.Move("kick", "forward", "left", "normal", 1)], [27], procedural.Style())
    other = (joints * [-1, 1, 1])[:, HUMANML3D.mirrored]
    assert [segment.key for segment in read(other).actions] == [("kick", "forward", "right")]


@pytest.mark.parametrize("jitter", [0.0, 0.02])
def test_standing_still_shows_nothing(jitter):
    joints = procedural.generate(0).joints[:1].repeat(60, axis=0)
    assert read(joints + jitter / 0.02 * noise(joints.shape)) == Reading()


def test_shapeless_noise_shows_nothing():
    assert read(np.random.default_rng(0).normal(size=(60, 22, 3))) == Reading()


def test_asked_actions_must_all_be_shown_in_order():
    assert matches(Reading((WALK, WAVE)), WALK_THEN_WAVE)
    assert not matches(Reading((WAVE, WALK)), WALK_THEN_WAVE)
    assert not matches(Reading((WALK,)), WALK_THEN_WAVE)
    assert not matches(Reading((WALK, ActionSegment("wave", None, "left"))), WALK_THEN_WAVE)


def test_more_than_asked_matches_unless_it_must_be_exact():
    more = Reading((WALK, ActionSegment("jump", "up"), WAVE))
    assert matches(more, WALK_THEN_WAVE)
    assert not matches(more, WALK_THEN_WAVE, exact=True)


def test_joints_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected \(frames, 22, 3\)"):
        read(np.zeros((60, 24, 3)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("A person walks forward, then waves with the right hand.", [WALK.key, WAVE.key]),
        ("someone jogs backwards at a slow pace", [("run", "backward", None)]),
        ("the man raises both arms out to the sides", [("raise", "sideways", "both")]),
        ("walk walk the forward a then", [("walk", "forward", None)]),
        ("the the left of a forward", []),
        ("", []),
    ],
)
def test_sentences_are_read_by_their_words(text, shown):
    assert [segment.key for segment in read_caption(text).actions] == shown
