import numpy as np
import pytest

from motiongpt3_jax.motion.pictures.camera import framing_camera, smooth
from motiongpt3_jax.motion.pictures.figure import as_figure


@pytest.mark.parametrize("metres", [0.0, 1.5, 8.0])
@pytest.mark.parametrize("heading", [0.0, 0.65, 2.5])
def test_every_joint_of_every_frame_is_in_the_picture(walking, metres, heading):
    joints = as_figure(walking(frames=30, metres=metres, persons=2)).joints
    pixels = framing_camera(joints, heading, (10, 20, 210, 180)).project(np.moveaxis(joints, 1, 0))
    assert pixels[..., 0].min() >= 10
    assert pixels[..., 0].max() <= 210
    assert pixels[..., 1].min() >= 20
    assert pixels[..., 1].max() <= 180


def test_bodies_stay_large_on_a_long_way(walking):
    def tall(metres):
        joints = as_figure(walking(frames=100, metres=metres)).joints
        pixels = framing_camera(joints, 0.65, (0, 0, 200, 200)).project(np.moveaxis(joints, 1, 0))
        return np.ptp(pixels[..., 1], axis=-1).min()

    assert tall(8.0) > 0.6 * tall(0.0)


def test_the_camera_stands_still_while_bodies_stay_on_a_spot(walking):
    camera = framing_camera(as_figure(walking(metres=0.3)).joints, 0.0, (0, 0, 100, 100))
    assert np.ptp(camera.targets, axis=0).tolist() == [0, 0, 0]


def test_up_is_up_and_the_near_is_larger(walking):
    camera = framing_camera(as_figure(walking(metres=0.0)).joints, 0.0, (0, 0, 100, 100)).at(0)
    low, high, near = camera.project(np.array([[[0, 0, 0], [0, 1, 0], [0, 0, 1.0]]]))[0]
    assert high[1] < low[1]
    assert camera.scale(near[2]) > camera.scale(low[2])


def test_smoothing_keeps_a_straight_path_straight_away_from_its_ends():
    path = np.stack([np.arange(30.0), -np.arange(30.0)], axis=-1)
    np.testing.assert_allclose(smooth(path, window=4)[5:-5], path[5:-5], atol=1e-9)
