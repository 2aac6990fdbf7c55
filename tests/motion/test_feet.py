import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D, KIT, Skeleton
from motiongpt3_jax.motion.feet import clean_feet, skating
from tests.motion.bvh_files import standing

LEGS = [4, 5, 7, 8, 10, 11]
OTHERS = [joint for joint in range(22) if joint not in LEGS]


def body(bent: float = 0.1) -> np.ndarray:
    """Somebody who stands, toes at a height of 2 cm, with knees that are bent forwards by `bent` metres."""
    joints = standing((0, 0.95, 0))
    for side, (hip, knee, ankle, toe) in ((0.1, (1, 4, 7, 10)), (-0.1, (2, 5, 8, 11))):
        joints[[hip, knee, ankle, toe]] = [[side, 0.9, 0], [side, 0.49, bent], [side, 0.08, 0], [side, 0.02, 0.12]]
    return joints


def stand(frames: int = 60, bent: float = 0.1) -> np.ndarray:
    return np.repeat(body(bent)[None], frames, axis=0)


def swaying(motion: np.ndarray, fps: float = 20.0, seconds: float = 2.0, far: float = 0.04) -> np.ndarray:
    """The motion with the whole body gliding to and fro."""
    away = far * np.sin(2 * np.pi * np.arange(len(motion)) / fps / seconds)
    return motion + away[:, None, None] * np.array([0.6, 0, 0.8])


def bones(motion: np.ndarray, skeleton: Skeleton = HUMANML3D) -> np.ndarray:
    return np.linalg.norm(motion[:, 1:] - motion[:, list(skeleton.parents[1:])], axis=-1)


def stepping(frames: int = 60) -> np.ndarray:
    """Somebody who raises the right foot half a metre from frame 20 on and puts it down again until frame 40."""
    motion = stand(frames)
    up = 0.25 * (1 - np.cos(2 * np.pi * np.clip((np.arange(frames) - 20) / 20, 0, 1)))
    motion[:, [8, 11], 1] += up[:, None]
    motion[:, 5, 1] += up / 2
    motion[:, 5, 2] += up / 2
    return motion


def test_sliding_is_the_speed_of_feet_on_the_floor():
    frames = np.arange(30)[:, None, None]
    assert skating(stand()) == 0
    np.testing.assert_allclose(skating(stand(30) + frames * [0.01, 0, 0]), 0.2)
    np.testing.assert_allclose(skating(stand(30) + frames * [0.01, 0, 0], fps=60), 0.6)


@pytest.mark.parametrize("far", [slice(0, 1), slice(0, 10), slice(15, 16), slice(25, None)])
@pytest.mark.parametrize("fps", [20, 60])
def test_steps_that_nobody_makes_are_no_sliding(far, fps):
    gliding = stand(30) + np.arange(30)[:, None, None] * [0.2 / fps, 0, 0]
    gliding[far] += [36.0, 0, 5]
    np.testing.assert_allclose(skating(gliding, fps=fps), 0.2)


def test_feet_in_the_air_do_not_slide():
    motion = stepping()
    motion[25:35, [8, 11], 0] += np.linspace(0, 1, 10)[:, None]
    assert skating(motion) == 0


def test_the_original_says_when_feet_are_on_the_floor():
    motion = swaying(stand())
    lifted = motion.copy()
    lifted[30:, [7, 8, 10, 11], 1] += 0.2
    assert skating(lifted, original=motion) == skating(motion)


@pytest.mark.parametrize("fps", [20, 30, 120])
def test_feet_that_glide_stand_still_and_nothing_else_moves(fps):
    motion = swaying(stand(3 * fps), fps)
    cleaned = clean_feet(motion, fps=fps)
    assert skating(motion, fps=fps) > 0.05
    assert skating(cleaned, fps=fps, original=motion) < 0.005
    np.testing.assert_array_equal(cleaned[:, OTHERS], motion[:, OTHERS])
    np.testing.assert_allclose(bones(cleaned), bones(motion), atol=1e-9)


def test_knees_stay_on_their_side():
    motion = swaying(stand())
    cleaned = clean_feet(motion)
    middle = (cleaned[:, [1, 2]] + cleaned[:, [7, 8]]) / 2
    assert np.all(cleaned[:, [4, 5], 2] - middle[..., 2] > 0.05)


def test_a_motion_whose_feet_stand_is_left_as_it_is():
    np.testing.assert_allclose(clean_feet(stand()), stand(), atol=1e-12)
    np.testing.assert_allclose(clean_feet(stepping()), stepping(), atol=1e-12)


def test_a_foot_in_the_air_goes_its_own_way_but_for_the_blends():
    motion = swaying(stepping(), seconds=4)
    cleaned = clean_feet(motion)
    np.testing.assert_allclose(cleaned[28:33, [5, 8, 11]], motion[28:33, [5, 8, 11]], atol=1e-9)
    assert skating(cleaned, original=motion) < 0.1 * skating(motion)


def test_nothing_jumps_where_a_contact_begins_and_ends():
    motion = swaying(stepping(), seconds=4)
    faster = np.abs(np.diff(clean_feet(motion), axis=0)).max() - np.abs(np.diff(motion, axis=0)).max()
    assert faster < 0.02


def test_a_foot_that_is_meant_to_slide_slides():
    motion = stand(60)
    motion[:, [8, 11], 2] += np.linspace(0, 0.6, 60)[:, None]  # 0.2 m/s
    motion[:, 5, 2] += np.linspace(0, 0.3, 60)
    np.testing.assert_allclose(clean_feet(motion), motion, atol=1e-12)


def test_a_straight_leg_raises_its_heel_rather_than_stretch():
    motion = swaying(stand(bent=0), seconds=4, far=0.1)
    cleaned = clean_feet(motion)
    np.testing.assert_allclose(bones(cleaned), bones(motion), atol=1e-9)
    np.testing.assert_allclose(np.ptp(cleaned[:, [10, 11]], axis=0), 0, atol=1e-9)
    raised = cleaned[:, [7, 8], 1] - motion[:, [7, 8], 1]
    assert raised.max() > 0.003
    assert raised.min() > -1e-9


def test_a_foot_out_of_all_reach_is_pulled_along():
    motion = stand(80, bent=0)
    motion[:, [10, 11]] = motion[:, [7, 8]] - [0, 0.06, -0.01]  # so short that a raised heel wins nothing
    motion = swaying(motion, seconds=4, far=0.14)
    cleaned = clean_feet(motion)
    np.testing.assert_allclose(bones(cleaned), bones(motion), atol=1e-9)
    moved = np.ptp(cleaned[:, 10, ::2], axis=0)
    assert np.all(moved > 1e-3)
    assert np.all(moved < 0.2 * np.ptp(motion[:, 10, ::2], axis=0))


def test_feet_with_a_heel_of_their_own_are_held_too():
    motion = np.zeros((60, 21, 3))
    places = {0: (0, 0.95, 0), 16: (0.1, 0.9, 0), 17: (0.1, 0.49, 0.1), 18: (0.1, 0.08, 0)}
    places |= {19: (0.1, 0.03, -0.04), 20: (0.1, 0.02, 0.12)}
    for joint, place in places.items():
        motion[:, joint] = place
    for right, left in zip((11, 12, 13, 14, 15), (16, 17, 18, 19, 20)):
        motion[:, right] = motion[:, left] * [-1, 1, 1]
    motion[:, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 1] = 1.3
    motion = swaying(motion, fps=12.5)
    cleaned = clean_feet(motion, KIT)
    assert skating(cleaned, KIT, original=motion) < 0.1 * skating(motion, KIT)
    np.testing.assert_allclose(bones(cleaned, KIT), bones(motion, KIT), atol=1e-9)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_few_frames_are_enough(frames):
    assert clean_feet(swaying(stand(frames)).astype(np.float32)).dtype == np.float32
    assert np.isfinite(clean_feet(swaying(stand(frames)))).all()
    assert skating(stand(frames)) == 0
