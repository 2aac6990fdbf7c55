import numpy as np
import pytest

from motiongpt3_jax.motion import KIT, Motion, load_motion, save_motion
from tests.commands.conftest import call
from tests.motion.samples import dance


@pytest.mark.parametrize(
    ("kind", "one", "two"),
    [
        ("bvh", ["walk.bvh"], ["walk_1.bvh", "walk_2.bvh"]),
        ("glb", ["walk.glb"], ["walk.glb"]),
        ("amass", ["walk.amass.npz"], ["walk_1.amass.npz", "walk_2.amass.npz"]),
    ],
)
def test_bodies_are_written_and_named(tmp_path, kind, one, two):
    for persons, names in ((1, one), (2, two)):
        save_motion(tmp_path / "walk.npz", Motion(dance(people=(persons,)), 30.0))
        out = tmp_path / str(persons)
        status, said, error = call("convert", "--motion", tmp_path / "walk.npz", "--to", kind, "--out", out)
        assert status == 0, error
        assert said.split() == [str(out / name) for name in names]
        assert sorted(path.name for path in out.iterdir()) == names


@pytest.mark.parametrize("kind", ["bvh", "amass"])
def test_what_is_written_can_be_converted_again(tmp_path, kind):
    ours = Motion(dance(people=(1,)), 30.0)
    save_motion(tmp_path / "walk.npz", ours)
    _, said, _ = call("convert", "--motion", tmp_path / "walk.npz", "--to", kind)
    status, _, error = call("convert", "--motion", said.strip(), "--to", "npz", "--out", tmp_path / "back")
    assert status == 0, error
    (path,) = (tmp_path / "back").iterdir()
    assert np.linalg.norm(load_motion(path).joints - ours.joints, axis=-1).mean() < 0.02


def test_a_skeleton_that_amass_lacks_is_one_sentence(tmp_path):
    save_motion(tmp_path / "walk.npz", Motion(dance(KIT, people=(1,)), 12.5, KIT))
    status, _, error = call("convert", "--motion", tmp_path / "walk.npz", "--to", "amass")
    assert status != 0
    assert "AMASS has SMPL's joints" in error
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["walk.npz"]
