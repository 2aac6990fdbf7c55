import numpy as np
import pytest

from motiongpt3_jax.data_pipelines.statistics import RunningStatistics, groups, statistics
from motiongpt3_jax.motion import HUMANML3D, KIT


def pieces(seed: int = 0, offset: float = 0.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    scale = np.linspace(0.1, 3, 263)
    return [rng.normal(offset, scale, (frames, 263)).astype(np.float32) for frames in (1, 7, 40)]


def test_the_groups_are_those_of_humanml3d():
    bounds = [(g.start, g.stop) for g in groups(HUMANML3D)]
    assert bounds == [(0, 1), (1, 3), (3, 4), (4, 67), (67, 193), (193, 259), (259, 263)]
    assert list(groups(KIT))[-1].stop == KIT.features


def test_mean_is_that_of_all_frames_together():
    np.testing.assert_allclose(statistics(pieces()).mean, np.concatenate(pieces()).mean(0), atol=1e-5)


def test_std_is_averaged_within_each_group():
    ours, plain = statistics(pieces()).std, np.concatenate(pieces()).astype(np.float64).std(0)
    for group in groups():
        np.testing.assert_allclose(ours[group], plain[group].mean(), rtol=1e-5)


def test_a_large_mean_costs_no_precision():
    away = pieces(offset=1000.0)
    plain = np.concatenate(away).astype(np.float64).std(0)
    np.testing.assert_allclose(statistics(away).std[0], plain[0], rtol=1e-5)


def test_constant_features_are_divided_by_one():
    ours = statistics([np.full((5, 263), 0.1, np.float32)] * 3)
    np.testing.assert_array_equal(ours.std, 1)
    np.testing.assert_allclose(ours.mean, 0.1, rtol=1e-6)


def test_results_are_float32():
    assert {array.dtype for array in statistics(pieces())} == {np.dtype(np.float32)}


def test_an_empty_clip_changes_nothing():
    running = RunningStatistics(263)
    running.add(pieces()[1])
    before = running.statistics()
    running.add(np.zeros((0, 263)))
    np.testing.assert_array_equal(running.statistics().std, before.std)


def test_no_frames_are_an_error():
    with pytest.raises(ValueError, match="at least one frame"):
        statistics([])


def test_features_of_another_width_are_an_error():
    with pytest.raises(ValueError, match=r"\(3, 251\); expected \(frames, 263\)"):
        statistics([np.zeros((3, 251))])
