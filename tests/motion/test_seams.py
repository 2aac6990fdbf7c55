import numpy as np
import pytest

from motiongpt3_jax.motion.placing import moved, stances
from motiongpt3_jax.motion.seams import acceleration_limit, bone_lengths, join, seam_acceleration, with_lengths
from tests.motion.real import real_motions
from tests.motion.samples import dance


def other(frames, seed):
    """Somebody else's motion, put where the first one stands."""
    return dance(frames=frames, seed=seed, turns=-0.4)


@pytest.fixture(scope="module")
def given():
    return dance(frames=30)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seam_is_calm_whatever_is_proposed(given, seed):
    proposed = moved(other(40, seed), stances(other(40, seed)[0]), stances(given[-1]))
    made, correction = join(given, proposed, None, 20.0)
    assert seam_acceleration(given, made, None) <= acceleration_limit(given)
    assert seam_acceleration(given, proposed, None) > acceleration_limit(given)
    assert correction.largest > correction.mean > 0


def test_both_ends_are_met_calmly(given):
    end = other(20, 5) + np.array([1.0, 0.0, 0.5])
    proposed = moved(other(25, 4), stances(other(25, 4)[0]), stances(given[-1]))
    made, _ = join(given, proposed, end, 20.0)
    assert seam_acceleration(given, made, end) <= min(acceleration_limit(given), acceleration_limit(end))


def test_what_fits_already_stays():
    whole = dance(frames=60)
    made, correction = join(whole[:20], whole[20:40], whole[40:], 20.0)
    assert correction.largest < 1e-6
    np.testing.assert_allclose(made[8:12], whole[28:32], atol=1e-6)


def test_far_from_the_seam_a_proposal_is_left_alone(given):
    proposed = other(90, 2)
    made, _ = join(given, proposed, None, 20.0)
    np.testing.assert_allclose(made[40:], proposed[40:], atol=0.02)


def test_bones_keep_the_given_lengths(given):
    made, _ = join(given, moved(other(40, 3), stances(other(40, 3)[0]), stances(given[-1])), None, 20.0)
    np.testing.assert_allclose(
        bone_lengths(made)[:, 1:], np.broadcast_to(bone_lengths(given[-1:])[:, 1:], (40, 21)), atol=5e-3
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_even_a_few_frames_are_joined(given, count):
    made, _ = join(given, given[-1:] + np.zeros((count, 1, 3)), given[:20] + (given[-1, 0] - given[0, 0]), 20.0)
    assert made.shape == (count, 22, 3)
    assert np.isfinite(made).all()


def test_the_limit_is_three_times_the_usual_acceleration_and_at_least_two_centimetres(given):
    assert acceleration_limit(np.zeros((9, 22, 3))) == 0.02
    shaken = given + 0.1 * np.random.default_rng(0).normal(size=given.shape)
    usual = np.median(np.linalg.norm(np.diff(shaken, 2, axis=0), axis=-1))
    assert acceleration_limit(shaken) == pytest.approx(3 * usual)


def test_lengths_change_neither_the_root_nor_directions():
    joints = dance(frames=5)
    made = with_lengths(joints, 2 * bone_lengths(joints))
    np.testing.assert_allclose(made - made[:, :1], 2 * (joints - joints[:, :1]), atol=1e-9)
    np.testing.assert_allclose(made[:, 0], joints[:, 0])


def test_seams_of_real_motions_are_calm_unless_a_limb_whirls_there():
    clips = [clip for clip in real_motions("cmu", 10) if len(clip) > 60]
    for number, clip in enumerate(clips):
        given, rest = np.split(clip, [max(10, len(clip) // 5)])
        proposed = moved(clips[number - 1][:40], stances(clips[number - 1][0]), stances(given[-1]))
        _, correction = join(given, proposed, None, 20.0)
        # What the person did at this very place.
        real = seam_acceleration(given, rest, None)
        assert correction.acceleration <= max(correction.limit, 0.6 * real)
