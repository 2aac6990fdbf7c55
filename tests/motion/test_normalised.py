import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D, KIT, joints_to_features
from motiongpt3_jax.motion.normalised import looks_normalised
from tests.motion.samples import dance


def features(skeleton=HUMANML3D) -> np.ndarray:
    # Seeds differ in the poses, so that the statistics are those of several motions, as a data set's are.
    return joints_to_features(np.concatenate([dance(skeleton, frames=30, seed=seed) for seed in range(4)]), skeleton)


def statistics(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return raw.mean(axis=0), np.maximum(raw.std(axis=0), 1e-2)


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT])
def test_raw_features_and_normalised_ones_are_told_apart(skeleton):
    raw = features(skeleton)
    mean, std = statistics(raw)
    assert not looks_normalised(raw, skeleton)
    assert looks_normalised((raw - mean) / std, skeleton)


def test_one_pose_is_enough():
    raw = features()
    mean, std = statistics(raw)
    for frame in (0, 40, 100):
        assert not looks_normalised(raw[[frame]])
        assert looks_normalised(((raw - mean) / std)[[frame]])


def test_what_a_model_made_is_raw_though_its_contacts_are_between_0_and_1():
    raw = features()
    raw += np.random.default_rng(0).normal(size=raw.shape) * 0.05
    raw[:, -4:] = 0.5
    assert not looks_normalised(raw)
