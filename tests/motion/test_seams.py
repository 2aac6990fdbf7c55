import numpy as np
import pytest

from motiongpt3_jax.motion import seams
from motiongpt3_jax.motion.ground_pose import ground_poses, move_to_pose
from motiongpt3_jax.motion.resample import resample_joints
from motiongpt3_jax.motion.seams import bone_lengths, seam_acceleration, set_bone_lengths
from tests.motion.real import real_motions
from tests.motion.samples import dance
from tests.quick import one_quick


def acceleration_limit(*fixed):
    """At 20 fps."""
    return seams.acceleration_limit(*fixed, fps=20.0)


def join(before, proposed, after):
    """With the limit that the given frames allow, at 20 fps."""
    limit = acceleration_limit(before, *([] if after is None else [after]))
    return seams.join(before, proposed, after, 20.0, limit)


def other(frames, seed):
    """Somebody else's motion, put where the first one stands."""
    return dance(frames=frames, seed=seed, turns=-0.4)


@pytest.fixture(scope="module")
def fixed():
    return dance(frames=30)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seam_is_calm_whatever_is_proposed(fixed, seed):
    proposed = move_to_pose(other(40, seed), ground_poses(other(40, seed)[0]), ground_poses(fixed[-1]))
    between, correction = join(fixed, proposed, None)
    assert seam_acceleration(fixed, between, None) <= acceleration_limit(fixed)
    assert seam_acceleration(fixed, proposed, None) > acceleration_limit(fixed)
    assert correction.largest > correction.mean > 0


def test_both_ends_are_met_calmly(fixed):
    end = other(20, 5) + np.array([1.0, 0.0, 0.5])
    proposed = move_to_pose(other(25, 4), ground_poses(other(25, 4)[0]), ground_poses(fixed[-1]))
    between, _ = join(fixed, proposed, end)
    assert seam_acceleration(fixed, between, end) <= acceleration_limit(fixed, end)


def test_what_fits_already_stays():
    whole = dance(frames=60)
    between, correction = join(whole[:20], whole[20:40], whole[40:])
    assert correction.largest < 1e-6
    np.testing.assert_allclose(between[8:12], whole[28:32], atol=1e-6)


def test_far_from_the_seam_a_proposal_is_left_alone(fixed):
    proposed = other(90, 2)
    between, _ = join(fixed, proposed, None)
    np.testing.assert_allclose(between[40:], proposed[40:], atol=0.02)


def test_bones_keep_the_given_lengths(fixed):
    between, _ = join(fixed, move_to_pose(other(40, 3), ground_poses(other(40, 3)[0]), ground_poses(fixed[-1])), None)
    np.testing.assert_allclose(
        bone_lengths(between)[:, 1:], np.broadcast_to(bone_lengths(fixed[-1:])[:, 1:], (40, 21)), atol=5e-3
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_even_a_few_frames_are_joined(fixed, count):
    between, _ = join(fixed, fixed[-1:] + np.zeros((count, 1, 3)), fixed[:20] + (fixed[-1, 0] - fixed[0, 0]))
    assert between.shape == (count, 22, 3)
    assert np.isfinite(between).all()


@pytest.mark.parametrize("fps", [50.0, 120.0, 240.0])
@pytest.mark.parametrize("both", [False, True])
def test_at_more_frames_a_second_a_seam_is_as_calm_in_time(fps, both):
    fixed = resample_joints(dance(frames=30), 20.0, fps)
    end = resample_joints(other(20, 5) + np.array([1.0, 0.0, 0.5]), 20.0, fps) if both else None
    proposed = resample_joints(
        move_to_pose(other(30, 4), ground_poses(other(30, 4)[0]), ground_poses(fixed[-1])), 20.0, fps
    )
    limit = seams.acceleration_limit(*([fixed, end] if both else [fixed]), fps=fps)
    assert limit * fps**2 < 1.2 * max(acceleration_limit(dance(frames=30)), 0.02) * 20**2
    between, correction = seams.join(fixed, proposed, end, fps, limit)
    assert between.shape == proposed.shape
    assert seam_acceleration(fixed, between, end) == correction.acceleration <= limit
    # Nor does anything jump behind the seam.
    sides = [fixed[-3:], between, *([end[:3]] if both else [])]
    after = np.linalg.norm(np.diff(np.concatenate(sides), 2, axis=0), axis=-1).max()
    assert after < 1.5 * np.linalg.norm(np.diff(proposed, 2, axis=0), axis=-1).max() + 5 * limit


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_even_a_few_frames_of_many_a_second_are_joined(count):
    fixed = resample_joints(dance(frames=30), 20.0, 120.0)
    between, _ = seams.join(fixed[:90], fixed[90 : 90 + count] + 0.1, fixed[90 + count :], 120.0, 0.001)
    assert between.shape == (count, 22, 3)
    assert np.isfinite(between).all()


@pytest.mark.parametrize("count", [4, 5])
@pytest.mark.parametrize("hop", [0.3, 1.0])
def test_a_short_gap_is_calm_too(fixed, count, hop):
    end = fixed[::-1] + (fixed[-1, 0] - fixed[0, 0]) * [1, 0, 1] + [hop, 0, 0]
    between, correction = join(fixed, np.linspace(fixed[-1], end[0], count + 2)[1:-1], end)
    assert seam_acceleration(fixed, between, end) <= correction.limit


def test_the_limit_is_three_times_the_usual_acceleration_and_at_least_two_centimetres(fixed):
    assert acceleration_limit(np.zeros((9, 22, 3))) == acceleration_limit(fixed[:2]) == 0.02
    shaken = fixed + 0.1 * np.random.default_rng(0).normal(size=fixed.shape)
    usual = np.median(np.linalg.norm(np.diff(shaken, 2, axis=0), axis=-1))
    assert acceleration_limit(shaken) == acceleration_limit(shaken, 2 * shaken) == pytest.approx(3 * usual)


def test_lengths_change_neither_the_root_nor_directions():
    joints = dance(frames=5)
    between = set_bone_lengths(joints, 2 * bone_lengths(joints))
    np.testing.assert_allclose(between - between[:, :1], 2 * (joints - joints[:, :1]), atol=1e-9)
    np.testing.assert_allclose(between[:, 0], joints[:, 0])


@one_quick("part", ["cmu", "bandai", "hdm05"])
def test_seams_of_real_motions_are_calm_and_bones_hardly_give_way(part):
    clips = [clip for clip in real_motions(part, 40) if len(clip) > 60]
    for number, clip in enumerate(clips):
        fixed, rest = np.split(clip, [max(10, len(clip) // 5)])
        proposed = move_to_pose(clips[number - 1][:30], ground_poses(clips[number - 1][0]), ground_poses(fixed[-1]))
        for after in (None, rest[30:]):
            between, correction = join(fixed, proposed, after)
            assert correction.acceleration == seam_acceleration(fixed, between, after)
            assert correction.acceleration <= correction.limit
            assert correction.stretch < 0.03


def test_where_a_limb_whirls_the_seam_is_calm_and_bones_give_way_for_a_moment(fixed):
    whirling = fixed.copy()
    turn = 0.7 * np.arange(len(fixed))[:, None] + [0, np.pi]
    hand = 0.25 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], -1)
    whirling[:, 20:22] = whirling[:, 18:20] + hand
    assert acceleration_limit(whirling) < 0.06 < 0.25 * 0.7**2
    between, correction = join(whirling, fixed[:40] + (fixed[-1, 0] - fixed[0, 0]), None)
    assert seam_acceleration(whirling, between, None) <= acceleration_limit(whirling)
    off = np.abs(bone_lengths(between) - np.median(bone_lengths(whirling), axis=0))[:, 1:].max(axis=1)
    assert off[:2].max() == pytest.approx(correction.stretch)
    assert 0.01 < correction.stretch < 0.15
    assert off[12:].max() < 1e-6
