import numpy as np
import pytest

from motiongpt3_jax.motion import seams
from motiongpt3_jax.motion.placing import moved, stances
from motiongpt3_jax.motion.resample import resample
from motiongpt3_jax.motion.seams import bone_lengths, seam_acceleration, with_lengths
from tests.motion.real import real_motions
from tests.motion.samples import dance


def acceleration_limit(*given):
    """At 20 fps."""
    return seams.acceleration_limit(*given, fps=20.0)


def join(before, proposed, after):
    """With the limit that the given frames allow, at 20 fps."""
    limit = acceleration_limit(before, *([] if after is None else [after]))
    return seams.join(before, proposed, after, 20.0, limit)


def other(frames, seed):
    """Somebody else's motion, put where the first one stands."""
    return dance(frames=frames, seed=seed, turns=-0.4)


@pytest.fixture(scope="module")
def given():
    return dance(frames=30)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seam_is_calm_whatever_is_proposed(given, seed):
    proposed = moved(other(40, seed), stances(other(40, seed)[0]), stances(given[-1]))
    made, correction = join(given, proposed, None)
    assert seam_acceleration(given, made, None) <= acceleration_limit(given)
    assert seam_acceleration(given, proposed, None) > acceleration_limit(given)
    assert correction.largest > correction.mean > 0


def test_both_ends_are_met_calmly(given):
    end = other(20, 5) + np.array([1.0, 0.0, 0.5])
    proposed = moved(other(25, 4), stances(other(25, 4)[0]), stances(given[-1]))
    made, _ = join(given, proposed, end)
    assert seam_acceleration(given, made, end) <= acceleration_limit(given, end)


def test_what_fits_already_stays():
    whole = dance(frames=60)
    made, correction = join(whole[:20], whole[20:40], whole[40:])
    assert correction.largest < 1e-6
    np.testing.assert_allclose(made[8:12], whole[28:32], atol=1e-6)


def test_far_from_the_seam_a_proposal_is_left_alone(given):
    proposed = other(90, 2)
    made, _ = join(given, proposed, None)
    np.testing.assert_allclose(made[40:], proposed[40:], atol=0.02)


def test_bones_keep_the_given_lengths(given):
    made, _ = join(given, moved(other(40, 3), stances(other(40, 3)[0]), stances(given[-1])), None)
    np.testing.assert_allclose(
        bone_lengths(made)[:, 1:], np.broadcast_to(bone_lengths(given[-1:])[:, 1:], (40, 21)), atol=5e-3
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_even_a_few_frames_are_joined(given, count):
    made, _ = join(given, given[-1:] + np.zeros((count, 1, 3)), given[:20] + (given[-1, 0] - given[0, 0]))
    assert made.shape == (count, 22, 3)
    assert np.isfinite(made).all()


@pytest.mark.parametrize("fps", [50.0, 120.0, 240.0])
@pytest.mark.parametrize("both", [False, True])
def test_at_more_frames_a_second_a_seam_is_as_calm_in_time(fps, both):
    given = resample(dance(frames=30), 20.0, fps)
    end = resample(other(20, 5) + np.array([1.0, 0.0, 0.5]), 20.0, fps) if both else None
    proposed = resample(moved(other(30, 4), stances(other(30, 4)[0]), stances(given[-1])), 20.0, fps)
    limit = seams.acceleration_limit(*([given, end] if both else [given]), fps=fps)
    assert limit * fps**2 < 1.2 * max(acceleration_limit(dance(frames=30)), 0.02) * 20**2
    made, correction = seams.join(given, proposed, end, fps, limit)
    assert made.shape == proposed.shape
    assert seam_acceleration(given, made, end) == correction.acceleration <= limit
    # Nor does anything jump behind the seam.
    sides = [given[-3:], made, *([end[:3]] if both else [])]
    after = np.linalg.norm(np.diff(np.concatenate(sides), 2, axis=0), axis=-1).max()
    assert after < 1.5 * np.linalg.norm(np.diff(proposed, 2, axis=0), axis=-1).max() + 5 * limit


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_even_a_few_frames_of_many_a_second_are_joined(count):
    given = resample(dance(frames=30), 20.0, 120.0)
    made, _ = seams.join(given[:90], given[90 : 90 + count] + 0.1, given[90 + count :], 120.0, 0.001)
    assert made.shape == (count, 22, 3)
    assert np.isfinite(made).all()


@pytest.mark.parametrize("count", [4, 5])
@pytest.mark.parametrize("hop", [0.3, 1.0])
def test_a_short_gap_is_calm_too(given, count, hop):
    end = given[::-1] + (given[-1, 0] - given[0, 0]) * [1, 0, 1] + [hop, 0, 0]
    made, correction = join(given, np.linspace(given[-1], end[0], count + 2)[1:-1], end)
    assert seam_acceleration(given, made, end) <= correction.limit


def test_the_limit_is_three_times_the_usual_acceleration_and_at_least_two_centimetres(given):
    assert acceleration_limit(np.zeros((9, 22, 3))) == acceleration_limit(given[:2]) == 0.02
    shaken = given + 0.1 * np.random.default_rng(0).normal(size=given.shape)
    usual = np.median(np.linalg.norm(np.diff(shaken, 2, axis=0), axis=-1))
    assert acceleration_limit(shaken) == acceleration_limit(shaken, 2 * shaken) == pytest.approx(3 * usual)


def test_lengths_change_neither_the_root_nor_directions():
    joints = dance(frames=5)
    made = with_lengths(joints, 2 * bone_lengths(joints))
    np.testing.assert_allclose(made - made[:, :1], 2 * (joints - joints[:, :1]), atol=1e-9)
    np.testing.assert_allclose(made[:, 0], joints[:, 0])


@pytest.mark.parametrize("part", ["cmu", "bandai", "hdm05"])
def test_seams_of_real_motions_are_calm_and_bones_hardly_give_way(part):
    clips = [clip for clip in real_motions(part, 40) if len(clip) > 60]
    for number, clip in enumerate(clips):
        given, rest = np.split(clip, [max(10, len(clip) // 5)])
        proposed = moved(clips[number - 1][:30], stances(clips[number - 1][0]), stances(given[-1]))
        for after in (None, rest[30:]):
            made, correction = join(given, proposed, after)
            assert correction.acceleration == seam_acceleration(given, made, after)
            assert correction.acceleration <= correction.limit
            assert correction.stretch < 0.03


def test_where_a_limb_whirls_the_seam_is_calm_and_bones_give_way_for_a_moment(given):
    whirling = given.copy()
    turn = 0.7 * np.arange(len(given))[:, None] + [0, np.pi]
    hand = 0.25 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], -1)
    whirling[:, 20:22] = whirling[:, 18:20] + hand
    assert acceleration_limit(whirling) < 0.06 < 0.25 * 0.7**2
    made, correction = join(whirling, given[:40] + (given[-1, 0] - given[0, 0]), None)
    assert seam_acceleration(whirling, made, None) <= acceleration_limit(whirling)
    off = np.abs(bone_lengths(made) - np.median(bone_lengths(whirling), axis=0))[:, 1:].max(axis=1)
    assert off[:2].max() == pytest.approx(correction.stretch)
    assert 0.01 < correction.stretch < 0.15
    assert off[12:].max() < 1e-6
