"""Statistics and bones that belong to a checkpoint."""

import numpy as np
import pytest

from motiongpt3_jax.data_pipelines import procedural
from motiongpt3_jax.interop.statistics import read_statistics
from motiongpt3_jax.motion import HUMANML3D, KIT, joints_to_features
from tests.data_pipelines.kit_ml_folder import kit_ml, kit_motion
from tests.inference.models import exported_model


@pytest.fixture
def folder(tmp_path):
    """Mean.npy and Std.npy."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "Mean.npy", rng.normal(size=263).astype(np.float32))
    np.save(tmp_path / "Std.npy", rng.uniform(0.5, 2, 263).astype(np.float32))
    return tmp_path


def test_mean_and_std_of_a_folder_with_an_average_body(folder):
    body = read_statistics(folder)
    np.testing.assert_array_equal(body.mean, np.load(folder / "Mean.npy"))
    np.testing.assert_array_equal(body.std, np.load(folder / "Std.npy"))
    # The target body of HumanML3D has legs of 0.816 m and is given by its bones' directions and lengths.
    assert np.linalg.norm(body.offsets, axis=-1)[list(HUMANML3D.legs)].sum() == pytest.approx(0.816, abs=0.01)


def test_the_bones_are_those_of_the_features_beside_them(folder):
    joints = 1.1 * procedural.generate(3).joints
    (folder / "new_joint_vecs").mkdir()
    np.save(folder / "new_joint_vecs" / "000021.npy", joints_to_features(joints))
    np.save(folder / "new_joint_vecs" / "000022.npy", np.zeros((4, 263), np.float32))
    np.testing.assert_allclose(read_statistics(folder).offsets, HUMANML3D.offsets(joints[0]), atol=1e-5)


def test_files_that_an_export_put_beside_its_checkpoint(folder):
    (folder / "Mean.npy").rename(folder / "my_Mean.npy")
    (folder / "Std.npy").rename(folder / "my_Std.npy")
    np.testing.assert_array_equal(read_statistics(folder / "my_Mean.npy").std, np.load(folder / "my_Std.npy"))


def test_a_model_lends_its_own(tmp_path):
    folder, _ = exported_model(tmp_path / "model")
    body = read_statistics(tmp_path / "model")
    for name in ("mean", "std", "offsets"):
        np.testing.assert_array_equal(getattr(body, name), getattr(folder.statistics, name))


def short(folder):
    np.save(folder / "Mean.npy", np.zeros(252, np.float32))


def negative(folder):
    np.save(folder / "Std.npy", -np.ones(263, np.float32))


def absent(folder):
    (folder / "Std.npy").unlink()


def empty(folder):
    (folder / "Mean.npy").unlink()


def objects(folder):
    np.save(folder / "Mean.npy", np.array([{}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (short, r"Mean\.npy has shape \(252,\); expected \(263,\) of HumanML3D or \(251,\) of KIT-ML"),
        (negative, r"Std\.npy has deviations that are not positive"),
        (absent, r"Std\.npy: does not exist"),
        (empty, r"there is no Mean\.npy, and no model or built clips either"),
        (objects, r"Mean\.npy: holds pickled Python objects"),
    ],
)
def test_what_is_wrong_is_said(folder, change, said):
    change(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        read_statistics(folder)


def test_statistics_of_251_features_are_kits_with_the_bones_beside_them(tmp_path):
    folder = kit_ml(tmp_path / "raw", features=True)
    body = read_statistics(folder)
    assert (body.skeleton, body.fps) == (KIT, 12.5)
    np.testing.assert_array_equal(body.mean, np.load(folder / "Mean.npy"))
    np.testing.assert_allclose(body.offsets, KIT.offsets(kit_motion(0).joints[0, 0]), atol=1e-4)


def test_statistics_of_251_features_alone_have_an_average_body(tmp_path):
    np.save(tmp_path / "Mean.npy", np.zeros(251, np.float32))
    np.save(tmp_path / "Std.npy", np.ones(251, np.float32))
    assert np.linalg.norm(read_statistics(tmp_path).offsets, axis=-1)[list(KIT.legs)].sum() == pytest.approx(
        0.816, abs=0.01
    )


def test_mean_and_deviation_of_two_skeletons_do_not_go_together(folder):
    np.save(folder / "Mean.npy", np.zeros(251, np.float32))
    with pytest.raises(ValueError, match=r"Mean\.npy has 251 features, and Std\.npy 263"):
        read_statistics(folder)
