import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from motiongpt3_jax.motion.pictures import write_gif, write_mp4
from motiongpt3_jax.motion.pictures.figure import as_figure
from motiongpt3_jax.motion.pictures.video import durations, paint_frames

CLOCK = 188
"""Where the row of words and time begins in a picture of 200 pixels."""


def frames_of(path):
    with Image.open(path) as image:
        for frame in range(image.n_frames):
            image.seek(frame)
            yield np.asarray(image.convert("RGB")).astype(int), image.info["duration"]


def orange_and_blue(picture):
    red, _, blue = np.moveaxis(picture.astype(int), -1, 0)
    return (red - blue > 80).sum(), (blue - red > 80).sum()


def test_a_gif_has_every_frame_at_its_time_and_loops(tmp_path, walking):
    write_gif(tmp_path / "a.gif", walking(frames=6), "a person walks", size=96)
    frames = list(frames_of(tmp_path / "a.gif"))
    assert [duration for _, duration in frames] == [50] * 6
    assert all(picture.shape == (96, 96, 3) for picture, _ in frames)
    assert Image.open(tmp_path / "a.gif").info["loop"] == 0


def test_left_is_orange_and_right_is_blue_on_the_bodys_own_sides(walking):
    # From the front the body's left is at the right of the picture.
    picture = np.asarray(next(paint_frames(as_figure(walking(frames=1)), None, 200, view=0.0)))[:CLOCK]
    orange, blue = orange_and_blue(picture[:, 104:])
    assert orange > 50 * max(blue, 1)
    orange, blue = orange_and_blue(picture[:, :96])
    assert blue > 50 * max(orange, 1)


def test_the_colours_of_the_sides_are_named_where_there_is_room(walking):
    def words(size):
        picture = np.asarray(next(paint_frames(as_figure(walking(frames=1)), None, size, view=0.0)))
        row = picture[round(0.94 * size) :]
        cut = round(0.085 * size)
        return orange_and_blue(row[:, :cut]), orange_and_blue(row[:, cut : 2 * cut])

    left, right = words(400)
    assert left[0] > 10 > left[1]
    assert right[1] > 10 > right[0]
    assert words(64) == ((0, 0), (0, 0))


def test_bodies_are_framed_in_every_frame_of_a_long_way(walking):
    for picture in paint_frames(as_figure(walking(frames=12, metres=6.0)), "on and on", 128, view=0.65):
        orange, blue = orange_and_blue(np.asarray(picture))
        assert min(orange, blue) > 60


def test_a_second_person_has_other_colours(walking):
    def colours(persons):
        picture = next(paint_frames(as_figure(walking(frames=1, persons=persons)), None, 200, view=0.0))
        purple = (np.abs(np.asarray(picture).astype(int) - (132, 84, 160)).sum(-1) < 40).sum()
        return purple

    assert colours(1) == 0
    assert colours(2) > 100


@pytest.mark.parametrize("caption", [None, "", "word " * 200, "w" * 500, "un café \u6b69\u304f \U0001f600\nnew line"])
def test_any_caption_fits(walking, caption):
    picture = np.asarray(next(paint_frames(as_figure(walking(frames=1)), caption, 160, view=0.65)))
    assert picture.shape == (160, 160, 3)
    assert min(orange_and_blue(picture)) > 60
    assert (picture[:, [0, -1]] > 200).all()


def test_one_frame_is_a_still_picture(tmp_path, walking):
    write_gif(tmp_path / "a.gif", walking(frames=1), size=64)
    assert len(list(frames_of(tmp_path / "a.gif"))) == 1
    write_mp4(tmp_path / "a.mp4", walking(frames=1), size=64)
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4"))[0] == 1


def test_gif_times_do_not_drift_at_30_frames_per_second():
    assert sum(durations(90, 30.0)) == 3000


def test_a_gif_of_fast_capture_keeps_its_length(tmp_path, walking):
    write_gif(tmp_path / "a.gif", walking(frames=24, fps=120.0), size=64)
    assert sum(duration for _, duration in frames_of(tmp_path / "a.gif")) == 200


def test_a_film_plays_everywhere(tmp_path, walking):
    write_mp4(tmp_path / "a.mp4", walking(frames=10), "a person walks", size=201)
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "a.mp4"))
    facts = next(reader)
    assert facts["codec"] == "h264"
    assert facts["pix_fmt"].startswith("yuv420p")
    assert facts["size"] == (202, 202)
    assert facts["fps"] == 20
    pictures = [np.frombuffer(frame, np.uint8).reshape(202, 202, 3) for frame in reader]
    assert len(pictures) == 10
    assert min(orange_and_blue(pictures[-1])) > 20
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_too_small_a_picture_is_refused_and_nothing_is_left(tmp_path, walking):
    with pytest.raises(ValueError, match="pictures of 8 pixels show nothing"):
        write_mp4(tmp_path / "a.mp4", walking(), size=8)
    assert not list(tmp_path.iterdir())
