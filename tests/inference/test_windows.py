import pytest

from motiongpt3_jax.inference.windows import cut_into_windows


@pytest.mark.parametrize("at_once", [10, 24, 41, 60, 99, 196])
@pytest.mark.parametrize("frames", [197, 198, 240, 399, 777, 1200])
def test_windows_are_long_enough_for_the_motion_and_no_longer_than_is_made_at_once(frames, at_once):
    found = cut_into_windows(frames, at_once, 20.0)
    assert found.count * found.frames - (found.count - 1) * found.overlap >= frames
    assert found.frames <= at_once
    assert found.overlap < found.frames / 2


def test_what_is_made_at_once_is_one_window():
    assert cut_into_windows(196, 196, 20.0) == (1, 196, 0)
