import numpy as np
import pytest
from PIL import Image

from motiongpt3_jax.motion.motion import Motion
from motiongpt3_jax.motion.pictures import write_strip
from motiongpt3_jax.motion.pictures.figure import as_figure
from motiongpt3_jax.motion.pictures.strip import key_frames


def groups_of_columns(inked):
    """How many runs of neighbouring columns hold ink."""
    return int((np.diff(np.concatenate([[0], inked.astype(int)])) == 1).sum())


def test_poses_stand_apart_however_wide_they_are(tmp_path, walking):
    joints = walking(frames=20).joints.copy()
    joints[:, ::3, [18, 20], 0] += 0.5  # the left arm stretched out
    write_strip(tmp_path / "a.png", Motion(joints), poses=5, height=200)
    picture = np.asarray(Image.open(tmp_path / "a.png")).astype(int)
    poses = picture[10:150, :-180]
    colour = np.ptp(poses, axis=-1) > 60  # limbs; the trunk is grey but lies between them
    assert groups_of_columns((np.ptp(poses, axis=-1) > 60).any(0) | (poses.min(-1) < 150).any(0)) == 5
    assert colour.any()


def test_key_frames_are_in_order_from_the_first_to_the_last(walking):
    frames = key_frames(as_figure(walking(frames=50)), 8)
    assert frames[0] == 0
    assert frames[-1] == 49
    assert (np.diff(frames) > 0).all()


def test_the_top_of_a_jump_is_a_key_frame(walking):
    joints = walking(frames=60, metres=0.0).joints.copy()
    joints[..., 1] += np.maximum(0, 1 - (np.arange(60) - 23) ** 2 / 16)[:, None].astype(np.float32)
    assert 23 in key_frames(as_figure(Motion(joints)), 4)


def test_a_body_that_stands_still_is_shown_all_along(walking):
    joints = np.repeat(walking(frames=1).joints, 40, axis=1)
    assert np.diff(key_frames(as_figure(Motion(joints)), 5)).max() <= 20


@pytest.mark.parametrize("frames", [1, 3])
def test_a_motion_of_few_frames_shows_them_all(tmp_path, walking, frames):
    assert key_frames(as_figure(walking(frames=frames)), 8).tolist() == list(range(frames))
    write_strip(tmp_path / "a.png", walking(frames=frames), "short", poses=8, height=160)
    assert Image.open(tmp_path / "a.png").height == 160


def test_several_persons_and_long_ways_fit(tmp_path, walking):
    write_strip(tmp_path / "a.png", walking(frames=30, metres=9.0, persons=3), "x " * 400, poses=3, height=160)
    picture = np.asarray(Image.open(tmp_path / "a.png"))
    assert (picture[:, [0, -1]] > 200).all()


def test_a_strip_without_poses_is_refused(tmp_path, walking):
    with pytest.raises(ValueError, match="a strip of 0 poses shows nothing"):
        write_strip(tmp_path / "a.png", walking(), poses=0)
