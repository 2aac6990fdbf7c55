"""Motion files from elsewhere, as commands take them."""

import json

import numpy as np

from motiongpt3_jax.commands.motions import read_motions
from motiongpt3_jax.inference.folder import MotionStatistics
from motiongpt3_jax.motion import HUMANML3D, Motion, joints_to_features, load_motion, save_motion, skating
from tests.commands.conftest import call
from tests.motion.bvh_files import standing, still, tree_of, write
from tests.motion.samples import dance
from tests.motion.test_feet import stand, swaying


def test_normalised_features_are_made_raw_by_the_models_body_and_that_is_said(tmp_path, capsys):
    raw = joints_to_features(dance(frames=30))
    body = MotionStatistics(raw.mean(axis=0), np.maximum(raw.std(axis=0), 0.01), HUMANML3D.offsets(dance()[0]))
    paths = [str(tmp_path / name) for name in ("raw.npy", "normalised.npy")]
    np.save(paths[0], raw)
    np.save(paths[1], (raw - body.mean) / body.std)
    first, second = read_motions(paths, statistics=body)
    np.testing.assert_allclose(first.joints, second.joints, atol=1e-5)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"{paths[0]}: features are read as raw"
    assert said[1].startswith(f"{paths[1]}: features are read as normalised")


def test_convert_reads_bvh_with_a_mapping_and_says_what_it_guessed(tmp_path):
    joints = tree_of(lambda joint: f"Bone.{HUMANML3D.joints.index(joint):03}")
    write(tmp_path / "walk.bvh", joints, [still(joints)] * 3)
    asked = ("convert", "--motion", tmp_path / "walk.bvh", "--to", "npz")
    status, _, error = call(*asked)
    assert status == 2
    assert "no joint that looks like pelvis, left_hip" in error
    names = {ours: name for ours, (name, _, _) in zip(HUMANML3D.joints, joints)}
    (tmp_path / "names.json").write_text(json.dumps(names))
    status, _, error = call(*asked, "--mapping", tmp_path / "names.json")
    assert status == 0, error
    assert "walk.bvh: lengths are read as metres" in error
    np.testing.assert_allclose(load_motion(tmp_path / "walk.npz").joints[0, 0], standing(), atol=1e-5)


def test_convert_cleans_the_feet_of_every_person_if_asked(tmp_path):
    people = np.stack([swaying(stand()), swaying(stand(), seconds=3)])
    save_motion(tmp_path / "sway.npz", Motion(people))
    asked = ("convert", "--motion", tmp_path / "sway.npz", "--to", "npz", "--clean-feet", "--out", tmp_path / "clean")
    status, _, error = call(*asked)
    assert status == 0, error
    for before, after in zip(people, load_motion(tmp_path / "clean" / "sway.npz").joints, strict=True):
        assert skating(after, original=before) < 0.2 * skating(before)
