import numpy as np
import pytest

from motiongpt3_jax import motion as motions
from motiongpt3_jax.motion import KIT, Motion, forward_kinematics, resample_motion
from motiongpt3_jax.motion.resample import require_frames, resample_joints

CUBIC = pytest.mark.parametrize("cubic", [True, False])


def moving(values: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.asarray(values, np.float64)[:, None, None], (len(values), 22, 3)).copy()


@CUBIC
@pytest.mark.parametrize(("fps", "to"), [(20, 30), (30, 20), (20, 12.5), (120, 20)])
def test_steady_motion_stays_steady(cubic, fps, to):
    seconds = np.arange(25) / fps
    ours = resample_joints(moving(seconds), fps, to, cubic)
    expected = np.arange(int(seconds[-1] * to + 1e-6) + 1) / to
    np.testing.assert_allclose(ours, moving(expected), atol=1e-12)


@CUBIC
def test_frames_that_exist_are_kept(cubic):
    joints = moving(np.random.default_rng(0).normal(size=9))
    np.testing.assert_allclose(resample_joints(joints, 20, 40, cubic)[::2], joints, atol=1e-12)
    np.testing.assert_allclose(resample_joints(joints, 20, 10, cubic), joints[::2], atol=1e-12)


def test_cubic_follows_a_wave_more_closely():
    wave = moving(np.sin(np.arange(20) / 2))
    truth = moving(np.sin(np.arange(39) / 4))
    smooth, straight = (np.abs(resample_joints(wave, 20, 40, cubic) - truth).max() for cubic in (True, False))
    assert smooth < straight / 2


@CUBIC
def test_one_frame_stays_one_frame(cubic):
    assert resample_joints(moving([1.0]), 20, 60, cubic).shape == (1, 22, 3)


def test_several_people_and_float32():
    joints = np.stack([moving(np.arange(5)), moving(np.arange(5, 10))]).astype(np.float32)
    ours = resample_joints(joints, 20, 40)
    assert ours.shape == (2, 9, 22, 3)
    assert ours.dtype == np.float32


def test_resampled_motion_knows_its_fps_and_skeleton():
    motion = resample_motion(Motion(np.zeros((1, 9, 21, 3)), 12.5, KIT), 25)
    assert (motion.frames, motion.fps, motion.skeleton) == (17, 25, KIT)


@pytest.mark.parametrize("fps", [0, -20, np.inf])
def test_the_new_fps_is_a_positive_number(fps):
    with pytest.raises(ValueError, match="cannot resample"):
        resample_motion(Motion(np.zeros((1, 9, 22, 3))), fps)


@pytest.mark.parametrize(
    ("frames", "fps", "message"),
    [
        (2, 30, r"^walk.bvh has 2 frames at 30 a second, which is 1 at the model's 20; at least 2 are needed"),
        (6, 120, r"^walk.bvh has 6 frames at 120 a second, which is 1 at the model's 20"),
        (1, 20, r"^walk.bvh has a single frame; at least 2 are needed"),
        (1, 60, r"^walk.bvh has a single frame at 60 a second"),
    ],
)
def test_motions_of_too_few_frames_for_a_model_say_what_becomes_of_them(frames, fps, message):
    motion = Motion(np.zeros((1, frames, 22, 3)), fps)
    assert resample_motion(motion, 20).frames == 1
    with pytest.raises(ValueError, match=message):
        require_frames(motion, 20, what="walk.bvh")
    require_frames(Motion(np.zeros((1, frames + fps, 22, 3)), fps), 20)


def test_the_earlier_names_of_public_functions_keep_working():
    assert motions.resampled is resample_motion
    assert motions.posed is forward_kinematics
