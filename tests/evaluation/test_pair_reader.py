import numpy as np
import pytest

from motiongpt3_jax.data_pipelines import procedural_pairs
from motiongpt3_jax.data_pipelines.clip import PLACE
from motiongpt3_jax.data_pipelines.pairs import clip_motion, pair_clip
from motiongpt3_jax.evaluation.reader import PairReading, pair_matches, read_pair, read_pair_caption
from motiongpt3_jax.evaluation.reader.signals import smooth
from motiongpt3_jax.motion import mirror
from motiongpt3_jax.motion.pairs import pair_features_to_joints

LENGTHS = [procedural_pairs.Options(), procedural_pairs.Options(40, 96)]


def performances(seed: int, count: int):
    return [procedural_pairs.generate(index, seed=seed, options=LENGTHS[index % 2]) for index in range(count)]


@pytest.fixture(scope="module")
def some():
    return performances(9, 100)


def share_right(some, change):
    return np.mean([pair_matches(read_pair(change(joints)), labels) for joints, _, labels in some])


def elsewhere(joints):
    cos, sin = np.cos(2.0), np.sin(2.0)
    return joints @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]) + [3.0, 0.2, -5.0]


def through_features(joints):
    return clip_motion(pair_clip("x", joints, ())).joints


def beside_its_place(joints):
    """As models make them: the second person centimetres and degrees beside its place, and both jittery."""
    rng, clip = np.random.default_rng(len(joints[0])), pair_clip("x", joints, ())
    place = np.array(clip.numbers[PLACE][:3]) + rng.normal(size=3) * [0.08, 0.06, 0.06]
    jitter = smooth(rng.normal(size=(len(clip.features), 2, 22, 3)), 1.5).swapaxes(0, 1)
    return pair_features_to_joints(*clip.persons, place) + 0.02 * jitter / jitter.std()


@pytest.mark.parametrize(
    ("change", "at_least"),
    [
        (lambda joints: joints, 0.98),
        (elsewhere, 0.98),
        (through_features, 0.98),
        (lambda joints: 0.8 * joints, 0.95),
        (beside_its_place, 0.95),
    ],
    ids=["as made", "elsewhere", "through features", "smaller bodies", "beside its place"],
)
def test_pairs_are_read_right(some, change, at_least):
    assert share_right(some, change) >= at_least


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_pairs_of_any_seed_are_read_right(seed):
    assert share_right(performances(seed, 400), through_features) >= 0.98


def test_roles_that_are_shuffled_are_read_right_by_chance(some):
    with_roles = [each for each in some if each.labels["actions"][0]["who"] != "both"]
    coins = np.random.default_rng(0).permutation(len(with_roles)) % 2
    right = [
        pair_matches(read_pair(joints[::-1] if coin else joints), labels)
        for coin, (joints, _, labels) in zip(coins, with_roles)
    ]
    assert 0.45 < np.mean(right) < 0.55
    whoever = [pair_matches(read_pair(joints[::-1]), labels, roles=False) for joints, _, labels in with_roles]
    assert np.mean(whoever) > 0.98


def test_a_mirrored_pair_is_read_with_the_other_side(some):
    other = {"left": "right", "right": "left", "clockwise": "counterclockwise", "counterclockwise": "clockwise"}
    mirrored = [
        (mirror(joints), captions, {"actions": [{k: other.get(v, v) for k, v in labels["actions"][0].items()}]})
        for joints, captions, labels in some
    ]
    assert share_right(mirrored, lambda joints: joints) >= 0.98


def test_two_who_stand_still_do_nothing():
    joints = procedural_pairs.generate(0).joints[:, :1].repeat(60, axis=1)
    assert read_pair(joints) == PairReading()
    assert read_pair(np.random.default_rng(0).normal(size=(2, 60, 22, 3))) == PairReading()


def test_one_person_is_no_pair():
    with pytest.raises(ValueError, match=r"expected \(2, frames, 22, 3\)"):
        read_pair(np.zeros((60, 22, 3)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("The first person pushes the second person with both hands.", ("push", "first", None, "both", None)),
        ("the second person is pushed by the first person with the left hand", ("push", "first", None, "left", None)),
        ("one person walks around the other clockwise", ("circle", None, "clockwise", None, None)),
        ("person two follows person one at a distance", ("follow", "second", None, None, "far")),
        ("two people shake right hands", ("shake-hands", "both", None, "right", None)),
        ("the two walk away from each other", ("walk", "both", "apart", None, None)),
    ],
)
def test_sentences_are_read_by_their_words(text, shown):
    assert [segment.key for segment in read_pair_caption(text).actions] == [shown]


def test_sentences_without_an_interaction_say_nothing():
    assert read_pair_caption("the the of a") == PairReading()
